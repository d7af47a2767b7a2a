export { createEngine, type Engine } from './engine.ts';
export type { EngineOptions } from './host.ts';
export type {
  TaskContainer,
  TaskContainerSpec,
  TaskEngine,
  TaskEvent,
  TaskHealth,
  TaskNetwork,
} from './task-engine.ts';
