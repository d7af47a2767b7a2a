import {
  compareText,
  type NetworkId,
  type NetworkPeer,
  type NetworkTable,
  type NodeId,
} from '../model/index.ts';
import type { AssignmentChanges, NetworkPatch } from '../rpc/index.ts';

type Tables = ReadonlyMap<NetworkId, NetworkTable>;

/** The tables after a message; the same map when the message changes none. */
export function nextTables(before: Tables, changes: AssignmentChanges): Tables {
  const { networks, networkPatches, removedNetworks } = changes;
  if (networks.length + networkPatches.length + removedNetworks.length === 0) return before;
  const tables = new Map(before);
  for (const id of removedNetworks) tables.delete(id);
  for (const table of networks) tables.set(table.networkId, table);
  for (const patch of networkPatches) {
    const table = tables.get(patch.networkId);
    if (table) tables.set(patch.networkId, patched(table, patch));
  }
  return tables;
}

/** Lists stay in the order of a whole table, by id. */
function patched(table: NetworkTable, patch: NetworkPatch): NetworkTable {
  const { removedEndpoints, removedPeers, removedGateways } = patch;
  const node = ({ nodeId }: NetworkPeer): NodeId => nodeId;
  return {
    ...table,
    revision: patch.revision,
    endpoints: merged(table.endpoints, removedEndpoints, patch.endpoints, ({ taskId }) => taskId),
    peers: merged(table.peers, removedPeers, patch.peers, node),
    gateways: merged(table.gateways, removedGateways, patch.gateways, node),
  };
}

function merged<Id extends string, Item>(
  before: readonly Item[],
  removed: readonly Id[],
  news: readonly Item[],
  idOf: (item: Item) => Id,
): readonly Item[] {
  if (removed.length + news.length === 0) return before;
  const items = new Map(before.map((one) => [idOf(one), one]));
  for (const id of removed) items.delete(id);
  for (const one of news) items.set(idOf(one), one);
  return [...items].toSorted(([left], [right]) => compareText(left, right)).map(([, one]) => one);
}
