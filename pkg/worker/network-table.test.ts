import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { NetworkId, NetworkTable } from '../model/index.ts';
import type { AssignmentChanges, NetworkPatch } from '../rpc/index.ts';
import { nextTables } from './network-table.ts';

const NET = 'net' as NetworkId;
const names = fc.uniqueArray(fc.constantFrom(...'abcdefghij'), { maxLength: 10 });
const change = fc.record({ removed: names, news: names });

const node = (id: string, address: string): NetworkTable['peers'][number] => ({
  nodeId: id as NetworkTable['peers'][number]['nodeId'],
  address,
});

function patchOf(removed: readonly string[], news: readonly string[], step: number): NetworkPatch {
  return {
    networkId: NET,
    revision: step as NetworkPatch['revision'],
    endpoints: [],
    removedEndpoints: [],
    peers: news.map((id) => node(id, `${id}${step}`)),
    removedPeers: removed as NetworkPatch['removedPeers'],
    gateways: [],
    removedGateways: [],
  };
}

test('patches change what they name, in the order of a whole table', () => {
  fc.assert(
    fc.property(names, fc.array(change, { maxLength: 5 }), (first, changes) => {
      const peers = first.toSorted().map((id) => node(id, id));
      const table = { networkId: NET, peers, endpoints: [], gateways: [] };
      let tables: ReadonlyMap<NetworkId, NetworkTable> = new Map([
        [NET, table as unknown as NetworkTable],
      ]);
      const expected = new Map(peers.map((peer) => [peer.nodeId, peer]));
      for (const [step, { removed, news }] of changes.entries()) {
        const networkPatches = [patchOf(removed, news, step)];
        const message = { networks: [], networkPatches, removedNetworks: [] };
        tables = nextTables(tables, message as unknown as AssignmentChanges);
        for (const id of removed) expected.delete(node(id, '').nodeId);
        for (const id of news) expected.set(node(id, '').nodeId, node(id, `${id}${step}`));
        const sorted = [...expected].toSorted(([left], [right]) => (left < right ? -1 : 1));
        expect(tables.get(NET)?.peers).toEqual(sorted.map(([, peer]) => peer));
        expect(tables.get(NET)?.revision).toBe(step);
      }
    }),
  );
});
