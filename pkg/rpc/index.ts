export {
  type CaHandlers,
  type CertifiedNode,
  caService,
  fetchRootCertificate,
  renewCertificate,
  requestCertificate,
} from './ca-service.ts';
export { RpcClient } from './client.ts';
export {
  type AskLeader,
  type ControlHandlers,
  controlService,
  type GroupMember,
  joinGroup,
  leaveGroup,
  openTunnel,
} from './control-service.ts';
export { Credentials, type Identity, type PeerIdentity } from './credentials.ts';
export {
  type AgentSession,
  dispatcherService,
  type ManagerSession,
  openSession,
} from './dispatcher-service.ts';
export { ItemQueue } from './item-queue.ts';
export {
  type LogsHandlers,
  logsService,
  type PublishedLogs,
  publishLogs,
  readLogs,
} from './logs-service.ts';
export type { MessageStream } from './message-stream.ts';
export {
  type RaftPeer,
  type RaftReceiver,
  RaftTransport,
  type RaftTransportOptions,
} from './raft-stream.ts';
export { type Caller, RpcServer, type RpcServerOptions, type ServiceBinding } from './server.ts';
export type {
  AgentMessage,
  AssignmentChanges,
  LogOptions,
  LogReadRequest,
  LogRecord,
  LogSelector,
  LogTaskRequest,
  ManagerMessage,
  TaskAssignment,
  TaskStatusReport,
} from './session-message.ts';
