export { createEngine } from './engine.ts';
export type { ClusterNetworks } from './host.ts';
export type {
  TaskContainer,
  TaskContainerSpec,
  TaskEngine,
  TaskEvent,
  TaskHealth,
  TaskNetwork,
} from './task-engine.ts';
