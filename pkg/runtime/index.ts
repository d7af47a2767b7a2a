export { createRuntime, type RuntimeOptions } from './create-runtime.ts';
export { readLogFile } from './read-log.ts';
export type {
  Attachment,
  BlkioStat,
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
  UnixNs,
} from './runtime.ts';
export { RuntimeError } from './runtime.ts';
export type {
  ContainerSpec,
  DeviceSpec,
  DeviceThrottle,
  ExecSpec,
  LogSpec,
  MountSpec,
  NamespaceMode,
  Namespaces,
  ProcessUser,
  Propagation,
  Resources,
  Rlimit,
  RootFs,
  SeccompProfile,
} from './spec.ts';
