import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLogger } from '../io/index.ts';
import { createHostNetwork } from './host-network.ts';
import { FakeKernel } from './kernel/fake.ts';
import type { ObservedNamespace } from './kernel/kernel.ts';
import type { HostNetwork } from './network.ts';
import { pinOf } from './pin.ts';
import { networkTable } from './testing/table.ts';

let runDir: string;
let kernel: FakeKernel;
let host: HostNetwork;

const hub = (networkId: string): ObservedNamespace =>
  kernel.open(pinOf(runDir, networkId)).observe();

beforeEach(async () => {
  runDir = mkdtempSync(join(tmpdir(), 'overlaynet-'));
  kernel = new FakeKernel();
  host = await createHostNetwork(
    {
      nodeId: 'node-1',
      underlayAddress: '192.168.50.1',
      runDir,
      resolver: () => ({ servers: [], search: [], options: [] }),
      log: silentLogger,
    },
    kernel,
  );
});

afterEach(() => {
  rmSync(runDir, { recursive: true });
});

test('a table becomes static entries for every remote address and none for our own', () => {
  const endpoints = [
    { address: '10.0.1.11', node: 1 },
    { address: '10.0.1.12', node: 2 },
    { address: '10.0.1.13', node: 9 },
  ];
  const revisions = host.applyTables([networkTable({ endpoints, revision: 41 })]);
  expect([...revisions]).toEqual([['app-id', 41]]);
  const { links, fdb, neighbours } = hub('app-id');
  expect(links.map(({ name }) => name)).toEqual(['lo', 'br0', 'vx0']);
  const mac = '02:42:0a:00:01:0c';
  expect(fdb).toEqual([
    { link: 'vx0', mac, tunnel: '192.168.50.2' },
    { link: 'vx0', mac },
  ]);
  expect(neighbours).toEqual([{ link: 'vx0', mac, address: '10.0.1.12' }]);
});

test('a host whose kernel has IPv4 alone takes part in the mesh by that, and in no network made for both', () => {
  const endpoints = [{ address: '10.0.0.12', address6: 'fd00:7::12', node: 2 }];
  const mesh = { name: 'ingress', ingress: true, subnet: '10.0.0.0/24', subnet6: 'fd00:7::/64' };
  host.applyTables([networkTable({ ...mesh, endpoints })]);
  const addresses = hub('ingress-id').neighbours.map(({ address }) => address);
  expect(addresses.toSorted()).toEqual(['10.0.0.12', '10.0.0.202', '10.0.0.203']);
  expect(kernel.open().observe().addresses).toEqual([
    { link: 'mu-ingress', address: '10.0.0.201/24' },
  ]);
  const dual = networkTable({ subnet6: 'fd00:1::/64', endpoints: [] });
  expect(() => host.applyTables([dual])).toThrow(
    'network app has IPv6 addresses, and the kernel of this node was started without IPv6',
  );
});

test('an address that moves to another node gets its new tunnel', () => {
  host.applyTables([networkTable({ endpoints: [{ address: '10.0.1.12', node: 2 }] })]);
  host.applyTables([networkTable({ endpoints: [{ address: '10.0.1.12', node: 3 }] })]);
  expect(hub('app-id').fdb.map(({ tunnel }) => tunnel)).toContain('192.168.50.3');
  expect(hub('app-id').fdb.map(({ tunnel }) => tunnel)).not.toContain('192.168.50.2');
});

test('after any changes of endpoints the kernel holds what a look at everything would give it', async () => {
  const endpoint = fc.record({
    address: fc.integer({ min: 10, max: 15 }).map((byte) => `10.0.1.${byte}`),
    node: fc.integer({ min: 1, max: 4 }),
    out: fc.boolean(),
  });
  const tables = fc.array(
    fc.uniqueArray(endpoint, { maxLength: 5, selector: ({ address }) => address }),
    { maxLength: 6 },
  );
  await fc.assert(
    fc.asyncProperty(tables, async (steps) => {
      for (const endpoints of steps) {
        host.applyTables([networkTable({ endpoints })]);
        expect((await host.repair()).findings).toEqual([]);
      }
    }),
  );
});

test('the table decides where an address lives', () => {
  host.applyTables([networkTable({ endpoints: [{ address: '10.0.1.12', node: 1 }] })]);
  expect(hub('app-id').fdb).toEqual([]);
  host.applyTables([networkTable({ endpoints: [{ address: '10.0.1.12', node: 2 }] })]);
  expect(hub('app-id').fdb).toHaveLength(2);
});

test('a network that is not in the tables any more is gone', () => {
  host.applyTables([networkTable({ endpoints: [] })]);
  host.applyTables([]);
  expect(() => hub('app-id')).toThrow(/ENOENT/);
});

test('a network that the kernel did not let go is taken away with the next tables', () => {
  host.applyTables([networkTable({ endpoints: [] })]);
  const remove = kernel.removeNamespace.bind(kernel);
  kernel.removeNamespace = (): never => {
    throw new Error('busy');
  };
  expect(() => host.applyTables([])).toThrow('busy');
  const asked: string[] = [];
  kernel.removeNamespace = (path): void => {
    asked.push(path);
    remove(path);
  };
  host.applyTables([]);
  expect(asked).toContain(pinOf(runDir, 'app-id'));
});

test('one table that cannot be applied does not hold up the others, and is tried again', () => {
  const good = networkTable({ name: 'good', endpoints: [{ address: '10.0.1.12', node: 2 }] });
  const broken = networkTable({ name: 'bad', vni: 5000, endpoints: [{ address: 'x', node: 2 }] });
  expect(() => host.applyTables([broken, good])).toThrow('not an IPv4 address');
  expect(hub('good-id').fdb).toHaveLength(2);
  expect(() => host.applyTables([broken, good])).toThrow('not an IPv4 address');
  const fixed = networkTable({
    name: 'bad',
    vni: 5000,
    endpoints: [{ address: '10.0.1.13', node: 2 }],
  });
  expect(host.applyTables([fixed, good]).size).toBe(2);
  expect(hub('bad-id').fdb).toHaveLength(2);
});

test('repair finds what is missing and nothing else', async () => {
  host.applyTables([networkTable({ endpoints: [{ address: '10.0.1.12', node: 2 }] })]);
  expect(await host.repair()).toEqual({ repairs: 0, findings: [] });
  const [entry] = hub('app-id').fdb;
  if (entry === undefined) throw new Error('no entry');
  kernel.open(pinOf(runDir, 'app-id')).apply([{ do: 'delete-fdb', entry }]);
  expect((await host.repair()).findings).toEqual(['network app-id: 1']);
  expect((await host.repair()).repairs).toBe(0);
});
