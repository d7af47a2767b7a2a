export { createEngine } from './engine.ts';
export type { ClusterNetworks } from './host.ts';
export {
  FENCED,
  type TaskContainer,
  type TaskContainerSpec,
  type TaskDevice,
  type TaskEngine,
  type TaskEvent,
  type TaskHealth,
  type TaskNetwork,
} from './task-engine.ts';
