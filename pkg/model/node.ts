import type { GenericResource } from './generic-resource.ts';
import type { InstantMs, NodeId, Version } from './id.ts';

export type NodeRole = 'worker' | 'manager';
export type Availability = 'active' | 'pause' | 'drain';

/** The Engine API's NodeSpec, stored as the user sent it. */
export interface NodeSpec {
  readonly Name?: string | undefined;
  readonly Labels?: Readonly<Record<string, string>> | undefined;
  readonly Role: NodeRole;
  readonly Availability: Availability;
}

/** A node to a CSI driver. */
export interface NodeDriver {
  readonly name: string;
  /** What the driver calls the node. */
  readonly nodeId: string;
  /** Volumes that the node can have at once; absent: any number. */
  readonly volumesMax?: number | undefined;
  /** Where the node is: domains and segments; absent: the driver does not tell. */
  readonly topology?: Readonly<Record<string, string>> | undefined;
}

/** Reported by the agent at registration (Engine API NodeDescription, our units). */
export interface NodeDescription {
  readonly hostname: string;
  readonly os: string;
  readonly architecture: string;
  readonly nanoCpus: number;
  readonly memoryBytes: number;
  readonly engineVersion: string;
  readonly engineLabels: Readonly<Record<string, string>>;
  readonly plugins: readonly { readonly type: string; readonly name: string }[];
  /** What `--generic-resource` of the agent says. */
  readonly genericResources?: readonly GenericResource[] | undefined;
  /** CSI drivers that answer there. */
  readonly csi?: readonly NodeDriver[] | undefined;
  /** Its kernel can encrypt overlay networks (ESP). */
  readonly canEncrypt?: boolean | undefined;
  /** Its kernel was started without IPv6. */
  readonly lacksIpv6?: boolean | undefined;
}

/** unknown: registered but not heard since the last change of leader; down: lease ended. */
export type NodeState = 'unknown' | 'down' | 'ready' | 'disconnected';

export interface NodeStatus {
  readonly state: NodeState;
  readonly message?: string | undefined;
  /** Underlay address the node is reached at: VXLAN endpoint and mesh entry. */
  readonly address: string;
  readonly since: InstantMs;
  /** While it is down and fenced tasks of it may live. */
  readonly silence?: NodeSilence | undefined;
}

/** For fences, by monotonic clocks: instants of the store move with whichever manager's wall clock is ahead. */
export interface NodeSilence {
  /** The present leader's monotonic clock when it began to count. */
  readonly fromMs: number;
  /** So long it was not heard, whoever led; written when a fence is over. */
  readonly ms: number;
}

/** Has the node, which is down, killed what it ran under such a fence? Without one it may run for ever. */
export function isFenceOver({ status }: Node, fenceMs: number): boolean {
  return status.state === 'down' && fenceMs > 0 && (status.silence?.ms ?? 0) >= fenceMs;
}

/** Present on managers: their raft identity. */
export interface ManagerMember {
  /** Raft id: random 53-bit integer, never reused. */
  readonly raftId: number;
}

export interface Node {
  readonly id: NodeId;
  readonly version: Version;
  readonly createdAt: InstantMs;
  readonly updatedAt: InstantMs;
  readonly spec: NodeSpec;
  /** Version that the writer of the present spec had seen: whoever read a later one knows this spec. */
  readonly specSeen?: Version | undefined;
  /** Since when the node is being drained: what replaces its tasks first has a deadline. */
  readonly drainingSince?: InstantMs | undefined;
  readonly description?: NodeDescription | undefined;
  readonly status: NodeStatus;
  readonly manager?: ManagerMember | undefined;
  /** The node's own address in the ingress network (`10.0.0.2/20`): where its routing mesh enters the overlay. */
  readonly ingressAddress?: string | undefined;
  /** Role of the certificate the node last presented; promotion is finished when it equals spec.Role. */
  readonly certificateRole: NodeRole;
}

/** It is being emptied, and can be heard. */
export function isDraining(node: Node): boolean {
  return node.spec.Availability === 'drain' && node.status.state !== 'down';
}

/** Ready, active nodes may be given new tasks. */
export function isSchedulable(node: Node): boolean {
  return node.status.state === 'ready' && node.spec.Availability === 'active';
}
