export type {
  ClusterApi,
  ClusterLogRecord,
  ClusterLogRequest,
  ClusterStore,
} from './cluster-api.ts';
export type {
  ContainerLogOptions,
  ContainerLogRecord,
  ContainerLogStream,
  ContainerStream,
  DockerJson,
  Engine,
  EngineContainers,
  EngineEvent,
  EngineEventOptions,
  EngineExecs,
  EngineImages,
  EngineNetworks,
  EngineVolumes,
  ExecStartOptions,
  ImportOptions,
  PathStat,
  ProgressMessage,
  PruneResult,
  PullOptions,
  RegistryAuth,
  StopOptions,
  TerminalSize,
} from './engine.ts';
export type {
  LocalNodeState,
  NodeControl,
  NodeMembership,
  SwarmInitRequest,
  SwarmJoinRequest,
} from './node-control.ts';
export { type ApiServer, type ApiServerOptions, createApiServer } from './server.ts';
