export { createRuntime } from './create-runtime.ts';
export { cgroupV2Of } from './machine.ts';
export { readLogFile } from './read-log.ts';
export type {
  Attachment,
  ContainerProcess,
  ContainerState,
  ContainerStats,
  CreatedContainer,
  ExecHandle,
  ExitStatus,
  LogOptions,
  LogRecord,
  Runtime,
  RuntimeErrorCode,
} from './runtime.ts';
export { RuntimeError } from './runtime.ts';
export type {
  ContainerSpec,
  DeviceThrottle,
  ExecSpec,
  MountSpec,
  NamespaceMode,
  ProcessUser,
  Propagation,
  Resources,
  RootFs,
  SeccompProfile,
} from './spec.ts';
