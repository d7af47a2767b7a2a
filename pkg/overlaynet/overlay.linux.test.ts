import { afterEach, beforeEach, expect, test } from 'vitest';
import type { NetworkTable } from '../model/index.ts';
import { linuxKernel } from './kernel/linux.ts';
import type { HostNetwork, SandboxSpec } from './network.ts';
import { NetworkLab } from './testing/lab.ts';
import { networkTable, type TestEndpoint } from './testing/table.ts';

let lab: NetworkLab;
let one: HostNetwork;
let two: HostNetwork;

const VIP = '10.0.1.2';
const WEB: readonly TestEndpoint[] = [
  { address: '10.0.1.11', node: 1 },
  { address: '10.0.1.12', node: 1 },
  { address: '10.0.1.13', node: 2 },
  { address: '10.0.1.14', node: 2 },
];
const CLIENT: TestEndpoint = { address: '10.0.1.10', node: 1, service: 'client' };

const table = (endpoints: readonly TestEndpoint[]): NetworkTable =>
  networkTable({
    endpoints: [...endpoints, CLIENT],
    services: [
      { name: 'web', vip: VIP, aliases: ['www'] },
      { name: 'client', vip: '10.0.1.3' },
      { name: 'empty', vip: '10.0.1.4' },
    ],
  });

const sandbox = (name: string, address: string): SandboxSpec => ({
  containerId: name,
  netns: lab.namespace(name),
  name,
  hostname: name,
  overlays: [{ networkId: 'app-id', address: `${address}/24` }],
});

const ping = (from: string, address: string): Promise<string> =>
  lab.run(from, 'busybox', 'ping', '-c1', '-W1', address);

function everyone(next: NetworkTable): void {
  for (const host of [one, two]) host.applyTables([next]);
}

beforeEach(async () => {
  lab = new NetworkLab();
  one = await lab.host('h1', 1);
  two = await lab.host('h2', 2);
  everyone(table(WEB));
  await one.attach(sandbox('cl', '10.0.1.10'));
  for (const [index, { address, node }] of WEB.entries()) {
    const name = `c${index + 1}`;
    await (node === 1 ? one : two).attach(sandbox(name, address));
    await lab.serve(name, name, 80);
  }
});

afterEach(async () => {
  await lab.close();
});

test('containers reach each other across hosts, with the tunnel taken off the MTU', async () => {
  await ping('cl', '10.0.1.11');
  await ping('cl', '10.0.1.13');
  const [link] = JSON.parse(await lab.run('cl', 'ip', '-j', 'link', 'show', 'eth0'));
  expect(link).toMatchObject({ mtu: 1450, address: '02:42:0a:00:01:0a' });
});

test('a VIP spreads connections evenly and the backends see the client', async () => {
  expect(await lab.ask('cl', { host: VIP, port: 80 }, 200)).toEqual({
    'c1 10.0.1.10': 50,
    'c2 10.0.1.10': 50,
    'c3 10.0.1.10': 50,
    'c4 10.0.1.10': 50,
  });
  const udp = await lab.ask('cl', { host: VIP, port: 80, udp: true }, 40);
  expect(Object.keys(udp)).toHaveLength(4);
  await ping('cl', VIP);
});

test('clients that keep one connection each do not keep it to the same backend', async () => {
  const clients = Array.from({ length: 6 }, (_, index) => ({
    ...CLIENT,
    address: `10.0.1.${20 + index}`,
  }));
  everyone(table([...WEB, ...clients]));
  const found: string[] = [];
  for (const [index, { address }] of clients.entries()) {
    await one.attach(sandbox(`cl${index}`, address));
    found.push(...Object.keys(await lab.ask(`cl${index}`, { host: VIP, port: 80 }, 1)));
  }
  expect(new Set(found.map((answer) => answer.split(' ')[0])).size).toBeGreaterThan(2);
  // The rules can be listed by whoever looks for a fault.
  expect(await lab.run('cl0', 'nft', 'list', 'ruleset')).toContain('map @turns');
});

test('weights divide connections, and affinity keeps a client at one backend', async () => {
  everyone(
    table([...WEB.slice(0, 1).map((endpoint) => ({ ...endpoint, weight: 3 })), ...WEB.slice(2, 3)]),
  );
  expect(await lab.ask('cl', { host: VIP, port: 80 }, 40)).toEqual({
    'c1 10.0.1.10': 30,
    'c3 10.0.1.10': 10,
  });
  const sticky = table(WEB);
  everyone({
    ...sticky,
    services: sticky.services.map((service) => ({ ...service, affinity: 'client' })),
  });
  const seen = await lab.ask('cl', { host: VIP, port: 80 }, 20);
  expect(Object.values(seen)).toEqual([20]);
  expect(await lab.ask('cl', { host: VIP, port: 80, udp: true }, 3)).toEqual({
    [Object.keys(seen)[0] ?? '']: 3,
  });
});

test('a task reaches itself through its VIP', async () => {
  everyone(table([{ address: '10.0.1.11', node: 1 }]));
  expect(await lab.ask('c1', { host: VIP, port: 80 }, 3)).toEqual({ 'c1 10.0.1.11': 3 });
});

test('an endpoint out of service gets no new connection, and a VIP without backends refuses at once', async () => {
  everyone(table(WEB.map((endpoint, index) => ({ ...endpoint, out: index === 3 }))));
  expect(Object.keys(await lab.ask('cl', { host: VIP, port: 80 }, 60)).sort()).toEqual([
    'c1 10.0.1.10',
    'c2 10.0.1.10',
    'c3 10.0.1.10',
  ]);
  everyone(table(WEB.map((endpoint) => ({ ...endpoint, out: true }))));
  expect(await lab.ask('cl', { host: VIP, port: 80 }, 2)).toEqual({ ECONNREFUSED: 2 });
  expect(await lab.ask('cl', { host: '10.0.1.4', port: 80, udp: true }, 1)).toEqual({
    ECONNREFUSED: 1,
  });
  everyone(table(WEB));
  expect(Object.keys(await lab.ask('cl', { host: VIP, port: 80 }, 8))).toHaveLength(4);
});

test('frames on a hub pass no packet hooks', async () => {
  using hub = linuxKernel.open(`${lab.runDir('h1')}/netns/app-id`);
  // No such key without the bridge filter.
  expect(['0', undefined]).toContain(hub.readSysctl('net/bridge/bridge-nf-call-iptables'));
});

test('hosts track none of the packets that carry those of containers', async () => {
  expect(Object.keys(await lab.ask('cl', { host: VIP, port: 80 }, 4))).toHaveLength(4);
  using host = linuxKernel.open(lab.pin('h1'));
  const destinations = host.connections().map(({ connection }) => connection.originalDestination);
  expect(destinations).not.toContain('192.168.50.2');
});

test('connections drain while their backend stops, and end at once when its address is gone', async () => {
  const tcp = lab.hold('cl', { host: VIP, port: 80 });
  const udp = lab.hold('cl', { host: VIP, port: 80, udp: true });
  const [held, flow] = [await tcp.next(), await udp.next()];
  const without = (name: string, out: boolean): readonly TestEndpoint[] =>
    WEB.map((endpoint, index) => ({ ...endpoint, out: out && name.startsWith(`c${index + 1}`) }));
  everyone(table(without(held, true)));
  expect(await tcp.next()).toBe(held);
  everyone(table(without(flow, true)));
  await one.flowsForgotten();
  expect(await udp.next()).not.toBe(flow);
  everyone(table(WEB.filter((_, index) => !held.startsWith(`c${index + 1}`))));
  // Nothing may be under way meanwhile: the answer of a container that is dead in earnest never comes.
  const tracked = (): Promise<string> => lab.run('cl', 'cat', '/proc/net/nf_conntrack');
  await expect.poll(tracked, { timeout: 20_000 }).not.toContain(' tcp ');
  await expect.poll(() => tcp.next()).toBe('ECONNRESET');
});

test('a service takes connections from those it names alone', async () => {
  const open = table(WEB);
  const allow = (...names: readonly string[]): NetworkTable => ({
    ...open,
    services: open.services.map((service) =>
      service.name === 'web' ? { ...service, allowFrom: names } : service,
    ),
  });
  everyone(allow('other'));
  expect(await lab.ask('cl', { host: VIP, port: 80 }, 2)).toEqual({ ECONNREFUSED: 2 });
  expect(await lab.ask('cl', { host: '10.0.1.13', port: 80, udp: true })).toEqual({
    ECONNREFUSED: 1,
  });
  expect(Object.keys(await lab.ask('c1', { host: VIP, port: 80 }, 4))).toHaveLength(4);
  expect(Object.keys(await lab.ask('c1', { host: '10.0.1.10', port: 80 }))).toEqual([
    'ECONNREFUSED',
  ]);
  everyone(allow('client'));
  expect(Object.keys(await lab.ask('cl', { host: VIP, port: 80 }, 4))).toHaveLength(4);
  await one.dispose();
  one = await lab.host('h1', 1);
  await one.readopt(new Map(['cl', 'c1', 'c2'].map((name) => [name, lab.pin(name)])));
  everyone(allow());
  expect(await lab.ask('cl', { host: '10.0.1.11', port: 80 })).toEqual({ ECONNREFUSED: 1 });
  await one.dispose();
  one = await lab.host('h1', 1);
  await one.readopt(new Map(['cl', 'c1', 'c2'].map((name) => [name, lab.pin(name)])));
  everyone(open);
  expect(Object.keys(await lab.ask('cl', { host: VIP, port: 80 }, 4))).toHaveLength(4);
  expect(await lab.run('c1', 'nft', 'list', 'tables')).not.toContain('muster-allow');
});

test('frames are taken from peers alone', async () => {
  lab.machine('intruder', 66);
  const link = ['vx', 'type', 'vxlan', 'id', '4097', 'dstport', '4789', 'remote', '192.168.50.1'];
  await lab.run('intruder', 'ip', 'link', 'add', ...link, 'local', '192.168.50.66');
  await lab.run('intruder', 'ip', 'address', 'add', '10.0.1.13/24', 'dev', 'vx');
  await lab.run('intruder', 'ip', 'link', 'set', 'vx', 'address', '02:42:0a:00:01:0d', 'up');
  await lab.run(
    'intruder',
    'ip',
    'neigh',
    'add',
    '10.0.1.11',
    'lladdr',
    '02:42:0a:00:01:0b',
    'dev',
    'vx',
  );
  /** Datagrams that came to a closed port of c1. */
  const arrived = async (): Promise<number> => {
    const [, numbers = ''] = (await lab.run('c1', 'grep', '^Udp:', '/proc/net/snmp')).split('\n');
    return Number(numbers.split(' ')[2]);
  };
  const send = (): Promise<unknown> =>
    lab.ask('intruder', { host: '10.0.1.11', port: 9, udp: true });
  await send();
  expect(await arrived()).toBe(0);
  await lab.run('h1', 'nft', 'delete', 'table', 'ip', 'muster-guard');
  await send();
  await expect.poll(arrived, { timeout: 20_000 }).toBe(1);
  expect((await one.repair()).findings).toEqual(['host tables: 1']);
  await send();
  expect(await arrived()).toBe(1);
  expect(Object.keys(await lab.ask('cl', { host: VIP, port: 80 }, 4))).toHaveLength(4);
});

test('repair puts back what was deleted behind our back, and is silent otherwise', async () => {
  expect([(await one.repair()).findings, (await two.repair()).findings]).toEqual([[], []]);
  const hub = `--net=${lab.runDir('h1')}/netns/app-id`;
  await lab.run(
    'h1',
    'nsenter',
    hub,
    'bridge',
    'fdb',
    'del',
    '02:42:0a:00:01:0d',
    'dev',
    'vx0',
    'dst',
    '192.168.50.2',
  );
  await lab.run('cl', 'nft', 'flush', 'map', 'ip', 'muster-net-app-id', 'vips');
  await lab.run('c1', 'ip', 'link', 'del', 'eth0');
  // The kernel told, and nothing else is looked at.
  await expect
    .poll(() => one.repairChanged().findings.join(), { interval: 10 })
    .toMatch(/network app-id: \d+,container cl tables: 1.*container c1 links/);
  expect((await one.repair()).findings).toEqual([]);
  expect(Object.keys(await lab.ask('cl', { host: VIP, port: 80 }, 8))).toHaveLength(4);
});

test('a container that spoils its own wiring harms nobody else', async () => {
  await lab.run('c1', 'ip', 'link', 'del', 'eth0');
  await lab.run('c1', 'ip', 'link', 'add', 'eth0', 'type', 'bridge');
  const moved = WEB.map((endpoint, index) => ({ ...endpoint, out: index === 0 }));
  one.applyTables([table([...moved, { address: '10.0.1.15', node: 2 }])]);
  const hub = `--net=${lab.runDir('h1')}/netns/app-id`;
  const fdb = await lab.run('h1', 'nsenter', hub, 'bridge', 'fdb', 'show', 'dev', 'vx0');
  expect(fdb).toContain('02:42:0a:00:01:0f dst 192.168.50.2');
  one.applyTables([table(moved)]);
  expect(Object.keys(await lab.ask('cl', { host: VIP, port: 80 }, 6)).sort()).toEqual([
    'c2 10.0.1.10',
    'c3 10.0.1.10',
    'c4 10.0.1.10',
  ]);
  await one.attach(sandbox('late', '10.0.1.16'));
  await ping('late', '10.0.1.12');
});

test('detach leaves nothing and a restarted agent takes the rest over', async () => {
  await one.detach('c1');
  await one.detach('c1');
  expect(await lab.run('c1', 'ip', '-o', 'link')).not.toContain('eth0');
  await one.dispose();
  const again = await lab.host('h1', 1);
  const live = { cl: lab.pin('cl'), new: lab.pin('c1') };
  const strangers = await again.readopt(new Map(Object.entries(live)));
  expect(strangers).toEqual(['new']);
  expect(again.inspect('c2')).toBeUndefined();
  expect(again.inspect('cl')?.interfaces[0]).toMatchObject({
    link: 'eth0',
    address: '10.0.1.10/24',
  });
  expect((await again.repair()).findings).toEqual([]);
  expect(
    Object.keys(await lab.ask('cl', { host: VIP, port: 80 }, 4)).length,
  ).toBeGreaterThanOrEqual(2);
  await again.removeEverything();
  expect(await lab.run('h1', 'nft', 'list', 'ruleset')).toBe('');
  expect(await lab.run('h1', 'ip', '-o', 'link')).not.toContain('mu-');
  expect(await lab.run('h1', 'cat', '/proc/sys/net/ipv4/ip_forward')).toBe('0\n');
});
