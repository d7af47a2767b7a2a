import { isDeepStrictEqual } from 'node:util';
import {
  ClusterError,
  createObject,
  type DraftTables,
  type InstantMs,
  type Node,
  type NodeDescription,
  type NodeId,
  type NodeRole,
  updateObject,
  VERSION_NONE,
} from '../model/index.ts';

/**
 * Puts a node that is about to be given its first certificate into the store. Does nothing when it is there. Throws `invalid`
 * when its packets could not reach those of the others.
 */
export function recordNewNode(
  draft: DraftTables,
  node: {
    readonly nodeId: NodeId;
    readonly role: NodeRole;
    /** Empty or absent: not known yet. */
    readonly dataPathAddress?: string | undefined;
    readonly now: InstantMs;
  },
): void {
  if (draft.get('node', node.nodeId)) return;
  refuseOtherFamily(draft, node.nodeId, node.dataPathAddress ?? '');
  const object: Node = {
    id: node.nodeId,
    version: VERSION_NONE,
    createdAt: node.now,
    updatedAt: node.now,
    spec: { Role: node.role, Availability: 'active' },
    status: { state: 'unknown', address: '', since: node.now },
    certificateRole: node.role,
  };
  draft.add(createObject('node', object));
}

/**
 * The node has a session: it is ready, and this is what it says of itself. Changes nothing when that is known: after a
 * change of leader every node says it again. Throws `forbidden` for unknown nodes, `invalid` for one that moved to where
 * the others do not reach it.
 */
export function recordRegistration(
  draft: DraftTables,
  registration: {
    readonly nodeId: NodeId;
    readonly role: NodeRole;
    readonly description: NodeDescription;
    readonly address: string;
    readonly now: InstantMs;
  },
): void {
  const node = draft.get('node', registration.nodeId);
  if (!node) throw notMember(registration.nodeId);
  refuseOtherFamily(draft, registration.nodeId, registration.address);
  const { state, since } = node.status;
  const known = {
    ...node,
    description: registration.description,
    certificateRole: registration.role,
    status: {
      state: 'ready',
      address: registration.address,
      since: state === 'ready' ? since : registration.now,
    },
  } as const;
  if (!isDeepStrictEqual(known, node)) draft.add(updateObject('node', known));
}

/** The node says something else of itself than when it registered. */
export function recordDescription(
  draft: DraftTables,
  nodeId: NodeId,
  description: NodeDescription,
): void {
  const node = draft.get('node', nodeId);
  if (!node || isDeepStrictEqual(node.description, description)) return;
  draft.add(updateObject('node', { ...node, description }));
}

/** Nodes that were silent for too long are down; deciders replace their tasks. */
export function recordLost(draft: DraftTables, nodes: readonly NodeId[], now: InstantMs): void {
  for (const nodeId of nodes) {
    const node = draft.get('node', nodeId);
    if (!node || node.status.state === 'down') continue;
    const status = {
      ...node.status,
      state: 'down' as const,
      message: 'heartbeat failure',
      since: now,
      silence: undefined,
    };
    draft.add(updateObject('node', { ...node, status }));
  }
}

/** Overlays are tunnels between all hosts, and a tunnel's ends are both of IPv4 or both of IPv6. Hosts that are down may follow. */
function refuseOtherFamily(draft: DraftTables, nodeId: NodeId, address: string): void {
  if (address === '') return;
  const isIpv6 = address.includes(':');
  for (const { id, status, description } of draft.list('node')) {
    if (id === nodeId || status.state !== 'ready' || status.address === '') continue;
    if (status.address.includes(':') === isIpv6) continue;
    const [theirs, ours] = isIpv6 ? ['IPv4', 'IPv6'] : ['IPv6', 'IPv4'];
    const other = `${description?.hostname ?? id} at ${status.address}`;
    throw new ClusterError(
      'invalid',
      `nodes of this cluster send each other packets of overlay networks by ${theirs} (${other}), and this one would by ${ours} (${address}) - give it an ${theirs} address with --data-path-addr or --advertise-addr`,
    );
  }
}

export function notMember(nodeId: NodeId): ClusterError {
  return new ClusterError('forbidden', `node ${nodeId} is not part of this cluster`);
}
