import { expect, test } from 'vitest';
import { createObject } from './change.ts';
import type { Cluster, NetworkKeys } from './cluster.ts';
import { deriveNetworkTable } from './derive-network-table.ts';
import type { NetworkTable } from './endpoint.ts';
import { type InstantMs, type NetworkId, VERSION_NONE, type Version } from './id.ts';
import type { Network } from './network.ts';
import { firstNetworkKeys, nextNetworkKeys } from './network-keys.ts';
import { Tables } from './tables.ts';

const at = (now: number): InstantMs => now as InstantMs;

test('a key is known everywhere one rotation before it is used and one after', () => {
  let keys = firstNetworkKeys(['a', 'b'], at(1));
  expect(keys).toMatchObject({ current: 1, rotatedAt: 1 });
  for (const secret of ['c', 'd', 'e']) {
    const before = keys;
    keys = nextNetworkKeys(before, secret, at(before.rotatedAt + 10));
    const known = (number: number): boolean => keys.keys.some((key) => key.number === number);
    expect(keys.current).toBe(before.current + 1);
    expect(before.keys.some(({ number }) => number === keys.current)).toBe(true);
    expect([known(before.current), known(keys.current + 1)]).toEqual([true, true]);
    expect(keys.keys.length).toBeLessThanOrEqual(3);
  }
  expect(keys).toEqual({
    keys: [
      { number: 3, secret: 'c' },
      { number: 4, secret: 'd' },
      { number: 5, secret: 'e' },
    ],
    current: 4,
    rotatedAt: 31,
  });
});

test('the table of an encrypted network carries the keys, and there is none without them', () => {
  const stamps = { version: VERSION_NONE, createdAt: at(1), updatedAt: at(1) };
  const id = 'net' as NetworkId;
  const cluster = { id: 'c', ...stamps, dataPathPort: 4789 } as unknown as Cluster;
  const network = (Options: Readonly<Record<string, string>>): Network => ({
    ...stamps,
    id,
    spec: { Name: 'app', Options },
    subnets: [{ subnet: '10.0.1.0/24', gateway: '10.0.1.1' }],
    vni: 4100,
  });
  const derived = (
    options: Readonly<Record<string, string>>,
    networkKeys?: NetworkKeys,
  ): NetworkTable | undefined => {
    const tables = new Tables();
    const objects = [
      createObject('cluster', { ...cluster, networkKeys }),
      createObject('network', network(options)),
    ];
    tables.apply(objects, 1 as Version, at(1));
    return deriveNetworkTable(tables, id);
  };
  const keys = firstNetworkKeys(['a', 'b'], at(1));
  expect(derived({ encrypted: '' }, keys)?.encryption).toEqual({ keys: keys.keys, current: 1 });
  expect(derived({ encrypted: '' })).toBeUndefined();
  expect(derived({ encrypted: 'false' }, keys)).not.toHaveProperty('encryption');
  expect(derived({}, keys)?.vni).toBe(4100);
});
