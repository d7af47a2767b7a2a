import { afterEach, beforeEach, expect, test } from 'vitest';
import type { NetworkTable } from '../model/index.ts';
import { linuxKernel } from './kernel/linux.ts';
import type { HostNetwork, SandboxSpec } from './network.ts';
import { NetworkLab } from './testing/lab.ts';
import { networkTable, type TestEndpoint } from './testing/table.ts';

let lab: NetworkLab;
let one: HostNetwork;
let two: HostNetwork;

const SUBNET6 = 'fd00:1::/64';
const VIP6 = 'fd00:1::2';
const WEB: readonly TestEndpoint[] = [
  { address: '10.0.1.11', address6: 'fd00:1::11', node: 1 },
  { address: '10.0.1.12', address6: 'fd00:1::12', node: 2 },
];
const CLIENT: TestEndpoint = {
  address: '10.0.1.10',
  address6: 'fd00:1::10',
  node: 1,
  service: 'client',
};

const table = (
  endpoints: readonly TestEndpoint[],
  web: { readonly allowFrom?: readonly string[]; readonly affinity?: 'client' } = {},
): NetworkTable =>
  networkTable({
    subnet6: SUBNET6,
    endpoints: [...endpoints, CLIENT],
    services: [
      { name: 'web', vip: '10.0.1.2', vip6: VIP6, ...web },
      { name: 'client' },
      { name: 'empty', vip: '10.0.1.4', vip6: 'fd00:1::4' },
    ],
  });

const sandbox = (name: string, { address, address6 }: TestEndpoint): SandboxSpec => ({
  containerId: name,
  netns: lab.namespace(name),
  name,
  hostname: name,
  overlays: [
    { networkId: 'app-id', address: `${address}/24`, address6: address6 && `${address6}/64` },
  ],
});

const pingOnce = (from: string, address: string): Promise<string> =>
  lab.run(from, 'busybox', 'ping', '-c1', '-W1', address);

/** The kernel finishes an IPv6 address in the background: on a busy machine the first question may come too early. */
async function ping(from: string, address: string): Promise<void> {
  await expect
    .poll(() => pingOnce(from, address), { timeout: 20_000 })
    .toContain('1 packets received');
}

function everyone(next: NetworkTable): void {
  for (const host of [one, two]) host.applyTables([next]);
}

beforeEach(async () => {
  lab = new NetworkLab();
  one = await lab.host('h1', 1);
  two = await lab.host('h2', 2);
  everyone(table(WEB));
  await one.attach(sandbox('cl', CLIENT));
  for (const [index, endpoint] of WEB.entries()) {
    const name = `c${index + 1}`;
    await (endpoint.node === 1 ? one : two).attach(sandbox(name, endpoint));
    await lab.serve(name, name, 80);
  }
});

afterEach(async () => {
  await lab.close();
});

test('a container has one address of each family and reaches the others by both, across hosts', async () => {
  for (const { address, address6 = '' } of WEB) {
    await ping('cl', address);
    await ping('cl', address6);
  }
  expect(await lab.ask('cl', { host: 'fd00:1::12', port: 80 })).toEqual({ 'c2 fd00:1::10': 1 });
  expect(await lab.ask('c2', { host: 'fd00:1::11', port: 80, udp: true })).toEqual({
    'c1 fd00:1::12': 1,
  });
  const [link] = JSON.parse(await lab.run('cl', 'ip', '-j', 'addr', 'show', 'eth0'));
  expect(link).toMatchObject({
    address: '02:42:0a:00:01:0a',
    addr_info: [
      { local: '10.0.1.10', prefixlen: 24 },
      { local: 'fd00:1::10', prefixlen: 64 },
    ],
  });
});

test('names have both, and both have a name', async () => {
  const script = `
    const dns = require('node:dns/promises');
    dns.setServers(['127.0.0.11']);
    Promise.all([
      dns.resolve4('tasks.web'),
      dns.resolve6('tasks.web'),
      dns.resolve6('web.2'),
      dns.resolve6('web'),
      dns.reverse('fd00:1::12'),
    ]).then((all) => console.log(JSON.stringify(all)));
  `;
  const [all4, all6, slot, vip, name] = JSON.parse(
    await lab.run('cl', process.execPath, '-e', script),
  );
  expect(all4.toSorted()).toEqual(['10.0.1.11', '10.0.1.12']);
  expect(all6.toSorted()).toEqual(['fd00:1::11', 'fd00:1::12']);
  expect(slot).toEqual(['fd00:1::12']);
  expect(vip).toEqual([VIP6]);
  expect(name).toEqual(['web.2.task1.app']);
});

test('an endpoint that moves to another host is reached there, and a repair finds nothing to do', async () => {
  await ping('c2', 'fd00:1::10');
  const moved = WEB.map((endpoint) => ({ ...endpoint, node: 2 }));
  await one.detach('c1');
  everyone(table(moved));
  const again = { address: '10.0.1.11', address6: 'fd00:1::11', node: 2 };
  await two.attach({ ...sandbox('c3', again), containerId: 'c3' });
  await ping('cl', 'fd00:1::11');
  everyone(table(WEB.slice(1)));
  await expect(pingOnce('cl', 'fd00:1::11')).rejects.toThrow();
  expect([(await one.repair()).findings, (await two.repair()).findings]).toEqual([[], []]);
});

test('what somebody took away comes back: neighbour, address, IPv6 itself', async () => {
  using hub = linuxKernel.open(lab.pin('cl'));
  await lab.run('cl', 'ip', '-6', 'addr', 'del', 'fd00:1::10/64', 'dev', 'eth0');
  expect((await one.repair()).findings).toEqual(['container cl links: 1']);
  await ping('c2', 'fd00:1::10');
  hub.writeSysctl('net/ipv6/conf/eth0/disable_ipv6', '1');
  await one.repair();
  await ping('c2', 'fd00:1::10');
  const check = await two.check('app-id');
  expect(check?.differences).toEqual([]);
  const probes = check?.probes.filter(({ from, address }) => from === 'c2' && /:/.test(address));
  expect(probes?.map(({ address, reached }) => `${address} ${reached}`)).toEqual([
    `${VIP6} true`,
    'fd00:1::4 true',
    'fd00:1::11 true',
    'fd00:1::12 true',
    'fd00:1::10 true',
  ]);
});

test('a service that names whom it takes connections from does so in both families', async () => {
  everyone(table(WEB, { allowFrom: [] }));
  const ask = (from: string): Promise<unknown> => lab.ask(from, { host: 'fd00:1::12', port: 80 });
  expect(await ask('cl')).toEqual({ ECONNREFUSED: 1 });
  expect(await ask('c1')).toEqual({ 'c2 fd00:1::11': 1 });
  everyone(table(WEB));
  expect(await ask('cl')).toEqual({ 'c2 fd00:1::10': 1 });
});

test('a container joins and leaves while it runs, and nothing of the network stays in it', async () => {
  const other = networkTable({
    name: 'other',
    vni: 4098,
    subnet: '10.0.2.0/24',
    subnet6: 'fd00:2::/64',
    endpoints: [{ address: '10.0.2.10', address6: 'fd00:2::10', node: 1 }],
  });
  one.applyTables([table(WEB), other]);
  const added = one.connect('cl', {
    networkId: 'other-id',
    address: '10.0.2.10/24',
    address6: 'fd00:2::10/64',
  });
  expect(added).toMatchObject({ address6: 'fd00:2::10/64' });
  using ns = linuxKernel.open(lab.pin('cl'));
  expect(ns.tables()).toContain('ip6 muster-net-other-id');
  one.disconnect('cl', 'other-id');
  expect(ns.tables().filter((name) => name.includes('other'))).toEqual([]);
  expect(await lab.run('cl', 'ip', '-6', 'addr')).not.toContain('fd00:2:');
});

test('a virtual address of IPv6 divides connections, answers pings, and leads a task to itself', async () => {
  expect(await lab.ask('cl', { host: VIP6, port: 80 }, 8)).toEqual({
    'c1 fd00:1::10': 4,
    'c2 fd00:1::10': 4,
  });
  expect(await lab.ask('cl', { host: VIP6, port: 80, udp: true }, 4)).toEqual({
    'c1 fd00:1::10': 2,
    'c2 fd00:1::10': 2,
  });
  await ping('cl', VIP6);
  everyone(table(WEB.slice(0, 1)));
  expect(await lab.ask('c1', { host: VIP6, port: 80 }, 3)).toEqual({ 'c1 fd00:1::11': 3 });
  everyone(table(WEB, { affinity: 'client' }));
  expect(Object.values(await lab.ask('cl', { host: VIP6, port: 80 }, 8))).toEqual([8]);
});

test('without backends it refuses at once, and the check of the network finds that right', async () => {
  everyone(table(WEB.map((endpoint) => ({ ...endpoint, out: true }))));
  for (const host of [VIP6, 'fd00:1::4']) {
    expect(await lab.ask('cl', { host, port: 80 })).toEqual({ ECONNREFUSED: 1 });
    expect(await lab.ask('cl', { host, port: 80, udp: true })).toEqual({ ECONNREFUSED: 1 });
  }
  const check = await one.check('app-id');
  const wrong = check?.probes.filter(({ reached }) => !reached);
  expect(wrong).toEqual([]);
  everyone(table(WEB));
  expect(Object.keys(await lab.ask('cl', { host: VIP6, port: 80 }, 4))).toHaveLength(2);
});

test('connections over IPv6 drain while their backend stops, datagrams choose again', async () => {
  const tcp = lab.hold('cl', { host: VIP6, port: 80 });
  const udp = lab.hold('cl', { host: VIP6, port: 80, udp: true });
  const [held, flow] = [await tcp.next(), await udp.next()];
  const without = (name: string): readonly TestEndpoint[] =>
    WEB.map((endpoint, index) => ({ ...endpoint, out: name.startsWith(`c${index + 1}`) }));
  everyone(table(without(held)));
  expect(await tcp.next()).toBe(held);
  everyone(table(without(flow)));
  await one.flowsForgotten();
  expect(await udp.next()).not.toBe(flow);
});

test('an agent that starts again takes both addresses over', async () => {
  await one.dispose();
  const again = await lab.host('h1', 1);
  again.applyTables([table(WEB)]);
  await again.readopt(new Map(['cl', 'c1'].map((name) => [name, lab.pin(name)])));
  expect(again.inspect('cl')?.interfaces[0]).toMatchObject({
    address: '10.0.1.10/24',
    address6: 'fd00:1::10/64',
  });
  expect((await again.repair()).findings).toEqual([]);
  expect(await lab.ask('cl', { host: VIP6, port: 80 }, 2)).toEqual({
    'c1 fd00:1::10': 1,
    'c2 fd00:1::10': 1,
  });
});
