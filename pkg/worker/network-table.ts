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
export function nextTables(
  before: Tables,
  changes: Pick<AssignmentChanges, 'networks' | 'networkPatches' | 'removedNetworks'>,
): Tables {
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

/** By the changes alone, whatever the length of the list: most messages change one endpoint of thousands. */
function merged<Id extends string, Item>(
  before: readonly Item[],
  removed: readonly Id[],
  news: readonly Item[],
  idOf: (item: Item) => Id,
): readonly Item[] {
  if (removed.length + news.length === 0) return before;
  const changes = new Map<Id, readonly Item[]>(removed.map((id) => [id, []]));
  for (const one of news) changes.set(idOf(one), [one]);
  const parts: (readonly Item[])[] = [];
  let from = 0;
  for (const [id, now] of [...changes].toSorted(([left], [right]) => compareText(left, right))) {
    const at = placeOf(id, before, { from, idOf });
    parts.push(before.slice(from, at), now);
    const old = before[at];
    from = old !== undefined && idOf(old) === id ? at + 1 : at;
  }
  const none: readonly Item[] = [];
  return none.concat(...parts, before.slice(from));
}

/** Where it is in the list, or would be. */
function placeOf<Id extends string, Item>(
  id: Id,
  list: readonly Item[],
  { from, idOf }: { readonly from: number; readonly idOf: (item: Item) => Id },
): number {
  let [low, high] = [from, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const item = list[middle];
    if (item !== undefined && compareText(idOf(item), id) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
