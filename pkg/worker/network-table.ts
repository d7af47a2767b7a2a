import { compareText, type NetworkId, type NetworkTable } from '../model/index.ts';
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

/** Endpoints stay in the order of a whole table, by task id. */
function patched(table: NetworkTable, patch: NetworkPatch): NetworkTable {
  const endpoints = new Map(table.endpoints.map((one) => [one.taskId, one]));
  for (const taskId of patch.removedEndpoints) endpoints.delete(taskId);
  for (const endpoint of patch.endpoints) endpoints.set(endpoint.taskId, endpoint);
  return {
    ...table,
    revision: patch.revision,
    endpoints: [...endpoints.values()].toSorted((left, right) =>
      compareText(left.taskId, right.taskId),
    ),
  };
}
