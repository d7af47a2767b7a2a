export {
  type Attachment,
  type AttachmentAnswer,
  type AttachmentWish,
  attachmentId,
} from './attachment.ts';
export { type Change, createObject, removeObject, updateObject } from './change.ts';
export {
  ADDRESS_POOLS_DEFAULT,
  type Cluster,
  type ClusterSpec,
  DATA_PATH_PORT_DEFAULT,
  type NetworkKey,
  type NetworkKeys,
  SUBNET_SIZE_DEFAULT,
  taskHistoryLimit,
} from './cluster.ts';
export {
  type Decider,
  type DeciderInput,
  type Decision,
  type DecisionSteps,
  type Dirty,
  inSteps,
} from './decider.ts';
export {
  deriveNetworkTable,
  gatewayAddress,
  peerAddress,
  taskEndpoint,
} from './derive-network-table.ts';
export { DraftTables, type Refusal } from './draft-tables.ts';
export type {
  EndpointState,
  MeshWishes,
  NetworkEncryption,
  NetworkEndpoint,
  NetworkPeer,
  NetworkService,
  NetworkTable,
} from './endpoint.ts';
export { ClusterError, type ErrorKind, errorMessage } from './error.ts';
export {
  claimGeneric,
  type GenericResource,
  genericEnvironment,
  genericReservations,
  parseGenericResources,
} from './generic-resource.ts';
export { canonicalAddress, joinHostPort, splitHostPort } from './host-address.ts';
export {
  type AttachmentId,
  type ClusterId,
  type ConfigId,
  compareText,
  type InstantMs,
  type NetworkId,
  type NodeId,
  type RevisionId,
  revisionId,
  type SecretId,
  type ServiceId,
  type TaskId,
  VERSION_NONE,
  type Version,
  type VolumeId,
} from './id.ts';
export { assert, must, unreachable } from './invariant.ts';
export {
  formatIpAddress,
  formatIpBlock,
  type IpAddress,
  type IpBlock,
  type IpFamily,
  ipBlockSize,
  ipBlocksOverlap,
  isInIpBlock,
  parseIpAddress,
  parseIpBlock,
  parseIpv4,
} from './ip-address.ts';
export {
  type IpamConfig,
  ingressNetworkSpec,
  type Network,
  type NetworkSpec,
  type Subnet,
} from './network.ts';
export {
  type HostNetworkCheck,
  isSound,
  type NetworkCheck,
  type NetworkProbe,
  type NodeNetworkCheck,
  tableText,
} from './network-check.ts';
export { firstNetworkKeys, nextNetworkKeys } from './network-keys.ts';
export { isAddressOrPrefix, networkWishes } from './network-labels.ts';
export {
  type Availability,
  isDraining,
  isFenceOver,
  isSchedulable,
  type ManagerMember,
  type Node,
  type NodeDescription,
  type NodeDriver,
  type NodeRole,
  type NodeSilence,
  type NodeSpec,
  type NodeState,
  type NodeStatus,
} from './node.ts';
export {
  type NamedKind,
  OBJECT_KINDS,
  type ObjectIds,
  type ObjectKind,
  type ObjectTypes,
} from './object.ts';
export { OverlaidView } from './overlaid-view.ts';
export {
  architecture,
  nodeMatches,
  nodeSatisfies,
  parseConstraint,
} from './placement-constraint.ts';
export {
  checkPortConflict,
  findPortConflict,
  portConflictText,
} from './published-port.ts';
export type { Config, ConfigSpec, Secret, SecretSpec } from './secret.ts';
export {
  endpointMode,
  networkTargets,
  type PublishedPort,
  portsAsked,
  REVISIONS_MAX,
  type RegistryCredentials,
  type RestartPolicy,
  type Revision,
  restartPolicy,
  type Service,
  type ServiceEndpoint,
  type ServiceMode,
  serviceMode,
  stopGraceMs,
  type UpdatePolicy,
  type UpdateState,
  type UpdateStatus,
  updatePolicy,
  usesIngress,
  type VirtualIp,
} from './service.ts';
export {
  applyServiceUpdate,
  createService,
  newServiceRevision,
  rollbackService,
  rollbackToRevision,
  type ServiceChange,
} from './service-change.ts';
export {
  minAvailableOf,
  type PlacementWish,
  POLICY_LABELS,
  POLICY_PREFIX,
  type ServicePolicy,
  servicePolicy,
} from './service-policy.ts';
export type {
  ConfigReferenceSpec,
  ContainerSpec,
  FileTargetSpec,
  HealthSpec,
  MountSpec,
  NetworkTargetSpec,
  PortSpec,
  ResourceSpec,
  SecretReferenceSpec,
  ServiceSpec,
  TaskTemplateSpec,
  UpdateConfigSpec,
} from './service-spec.ts';
export { type Slot, slotOf } from './slot-tasks.ts';
export { type AppliedChange, Tables } from './tables.ts';
export {
  compareTaskState,
  type DesiredState,
  FENCED_MESSAGE,
  isProgress,
  isRunnable,
  isTerminal,
  type NetworkAttachment,
  type PortProtocol,
  type PortStatus,
  reportedStatus,
  serviceAwaitedUntil,
  slotName,
  TASK_STATES,
  type Task,
  type TaskState,
  type TaskStatus,
  type TaskVolume,
  taskName,
} from './task.ts';
export { canonicalJson, onlyConstraintsChanged, taskSpecChanged } from './task-dependencies.ts';
export { checkEncryption, checkIpv6, refuseDriver, unsupported } from './validate-network.ts';
export {
  refuseOverlap,
  validateConfigSpec,
  validateIpamConfig,
  validateNetworkSpec,
  validateSecretSpec,
} from './validate-object.ts';
export { checkReferences, NODE_LOCAL_NETWORKS } from './validate-references.ts';
export { validateServiceSpec } from './validate-service.ts';
export {
  checkVolumeSecrets,
  updatedVolumeSpec,
  validateVolumeSpec,
  volumeSecret,
} from './validate-volume.ts';
export type { View } from './view.ts';
export {
  type ClusterVolumeSpec,
  isBlockVolume,
  isOnOneNode,
  nextVolumeWork,
  type PublicationState,
  type Volume,
  type VolumeInfo,
  type VolumePublication,
  type VolumeSpec,
  type VolumeTopology,
  type VolumeWork,
  volumeAvailability,
  volumeSharing,
} from './volume.ts';
export { volumeHolders } from './volume-holders.ts';
