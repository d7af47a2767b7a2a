import { newObjectId, type Random } from '../../pkg/io/index.ts';
import {
  type ClusterId,
  createObject,
  type DraftTables,
  type InstantMs,
  ingressNetworkSpec,
  type NetworkId,
  type Node,
  type NodeId,
  type NodeRole,
  VERSION_NONE,
} from '../../pkg/model/index.ts';
import type { Begin } from './begin.ts';
import { makeNetworkKeys } from './network-keys.ts';

/** A node that has a certificate and has not registered yet. */
export function admittedNode(
  id: NodeId,
  role: NodeRole,
  now: InstantMs,
  extra: Pick<Node, 'manager'> & { readonly availability?: Node['spec']['Availability'] } = {},
): Node {
  const { availability = 'active', ...rest } = extra;
  return {
    id,
    version: VERSION_NONE,
    createdAt: now,
    updatedAt: now,
    spec: { Role: role, Availability: availability, Labels: {} },
    status: { state: 'unknown', address: '', since: now },
    certificateRole: role,
    ...rest,
  };
}

/** What a new cluster starts with: itself, its first manager, and the network of the routing mesh. */
export function addFirstObjects(
  draft: DraftTables,
  options: {
    readonly begin: Begin;
    readonly clusterId: ClusterId;
    readonly nodeId: NodeId;
    readonly now: InstantMs;
    readonly random: Random;
  },
): void {
  const { begin, clusterId, nodeId, now, random } = options;
  if (draft.cluster || begin.how.kind !== 'bootstrap') return;
  const { cluster, availability } = begin.how;
  const stamps = { version: VERSION_NONE, createdAt: now, updatedAt: now };
  const networkKeys = makeNetworkKeys(random, now);
  draft.add(createObject('cluster', { ...cluster, id: clusterId, networkKeys, ...stamps }));
  const manager = { raftId: begin.raftId };
  draft.add(createObject('node', admittedNode(nodeId, 'manager', now, { manager, availability })));
  draft.add(
    createObject('network', {
      id: newObjectId(random) as NetworkId,
      ...stamps,
      spec: ingressNetworkSpec(),
      subnets: [],
      vni: 0,
    }),
  );
}
