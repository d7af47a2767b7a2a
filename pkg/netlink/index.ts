export {
  type Cidr,
  decodeAddress,
  decodeIpv4,
  encodeAddress,
  encodeIpv4,
  encodeMac,
  isIpv6,
  parseCidr,
} from './address.ts';
export {
  type AttachedProgram,
  attachedPrograms,
  BpfMap,
  type BpfMapOptions,
  BpfProgram,
  detachProgram,
  type SocketHook,
} from './bpf.ts';
export { readChecksumOffload, setChecksumOffload } from './checksum-offload.ts';
export { ConnectProbe } from './connect-probe.ts';
export {
  type Connection,
  type ConnectionsWanted,
  deleteConnection,
  deleteConnections,
  findConnections,
  type TrackedConnection,
} from './conntrack.ts';
export { EventSocket, type KernelEvent } from './event-socket.ts';
export { type BoundSocket, openBoundSocket, readNamespaceCookie } from './inet-socket.ts';
export type { Message } from './message.ts';
export {
  createNamespace,
  isNamespacePin,
  NetworkNamespace,
  removeNamespace,
  warmThreadPool,
} from './namespace.ts';
export type {
  AnonymousLookup,
  ChainHook,
  Command,
  KeyType,
  RuleExpression,
  SetElement,
  SetShape,
} from './nftables/command.ts';
export {
  CT_STATUS_DNAT,
  CtState,
  type Expression,
  FIB_TYPE_LOCAL,
  type Verdict,
} from './nftables/expression.ts';
export {
  digestTable,
  generationIn,
  type ListedElement,
  listMembers,
  listTable,
  listTables,
  readGeneration,
  type TableListing,
} from './nftables/listing.ts';
export { encodeTransaction } from './nftables/transaction.ts';
export { packetsPassed } from './packets-passed.ts';
export { PingSocket } from './ping-socket.ts';
export {
  deleteAddress,
  dumpAddresses,
  type LinkAddress,
  newAddress,
  type ObservedAddress,
  parseAddress,
} from './route/address.ts';
export {
  type BridgePortChange,
  changeBridgePort,
  changeLink,
  deleteLink,
  deleteLinkGroup,
  dumpLinks,
  getLink,
  type Link,
  type LinkChange,
  type NewLink,
  newLink,
  parseLink,
} from './route/link.ts';
export { identifyNamespace } from './route/namespace-id.ts';
export {
  deleteFdbEntry,
  deleteNeighbour,
  dumpFdb,
  dumpNeighbours,
  type FdbEntry,
  type Neighbour,
  type ObservedFdbEntry,
  type ObservedNeighbour,
  parseFdbEntry,
  parseNeighbour,
  putFdbEntry,
  putNeighbour,
} from './route/neighbour.ts';
export {
  deleteRoute,
  dumpRoutes,
  newRoute,
  type ObservedRoute,
  parseRoute,
  type Route,
  TABLE_LOCAL,
  TABLE_MAIN,
} from './route/route.ts';
export { deleteRule, dumpRules, type MarkRule, newRule, parseRule } from './route/rule.ts';
export { NetlinkSocket } from './socket.ts';
export { hasCode, SyscallError } from './syscall-error.ts';
export {
  type AssociationId,
  deleteAssociation,
  dumpAssociations,
  newAssociation,
  parseAssociation,
  type SecurityAssociation,
} from './xfrm/association.ts';
export {
  deletePolicy,
  dumpPolicies,
  type PolicyTemplate,
  parsePolicy,
  putPolicy,
  type SecurityPolicy,
} from './xfrm/policy.ts';
export type { TrafficSelector } from './xfrm/selector.ts';
