export { attachmentService, claimAttachments } from './attachment-service.ts';
export {
  type CertifiedNode,
  caService,
  fetchRootCertificate,
  renewCertificate,
  requestCertificate,
} from './ca-service.ts';
export { RpcClient } from './client.ts';
export { methodDefinition } from './codec.ts';
export {
  type ControlHandlers,
  controlService,
  type GroupMember,
  type Introduction,
  introduce,
  joinGroup,
  leaveGroup,
} from './control-service.ts';
export { Credentials, type Identity } from './credentials.ts';
export {
  type AgentSession,
  dispatcherService,
  type ManagerSession,
  openSession,
} from './dispatcher-service.ts';
export { hostAnswers } from './host-answers.ts';
export { ItemQueue } from './item-queue.ts';
export {
  logsService,
  type PublishedLogs,
  publishLogs,
  readLogs,
} from './logs-service.ts';
export { checkNetwork, networkService } from './network-service.ts';
export { RaftTransport } from './raft-stream.ts';
export { type Caller, RpcServer, type ServiceBinding } from './server.ts';
export type {
  AgentMessage,
  AssignmentChanges,
  LogReadRequest,
  LogRecord,
  LogTaskRequest,
  ManagerMessage,
  NetworkPatch,
  TaskAssignment,
  TaskStatusReport,
  VolumeAssignment,
  VolumeStatusReport,
} from './session-message.ts';
export { unaryCall } from './unary-call.ts';
