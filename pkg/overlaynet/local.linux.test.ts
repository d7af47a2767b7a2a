import { afterEach, beforeEach, expect, test } from 'vitest';
import type { HostNetwork, SandboxSpec } from './network.ts';
import { NetworkLab } from './testing/lab.ts';
import { networkTable } from './testing/table.ts';

let lab: NetworkLab;
let host: HostNetwork;

const spec = (name: string, more: Partial<SandboxSpec>): SandboxSpec => ({
  containerId: name,
  netns: lab.namespace(name),
  name,
  hostname: name,
  overlays: [],
  ...more,
});

const RESOLVE = `
const { Resolver } = require('node:dns/promises');
const resolver = new Resolver({ timeout: 1000, tries: 1 });
resolver.setServers(['127.0.0.11']);
Promise.all(process.argv.slice(1).map((name) => resolver.resolve4(name).catch((error) => error.code)))
  .then((answers) => console.log(JSON.stringify(answers.flat())));
`;

const resolve = async (from: string, ...names: readonly string[]): Promise<readonly string[]> =>
  JSON.parse(await lab.run(from, process.execPath, '-e', RESOLVE, ...names));

beforeEach(async () => {
  lab = new NetworkLab();
  host = await lab.host('h1', 1);
  lab.machine('outside', 100);
  await lab.serve('outside', 'world', 80);
});

afterEach(async () => {
  await lab.close();
});

test('a container on overlays only goes out by the gateway bridge, and neighbours there are walled off', async () => {
  host.applyTables([networkTable({ endpoints: [] })]);
  const overlays = (address: string): SandboxSpec['overlays'] => [{ networkId: 'app-id', address }];
  const a = await host.attach(spec('a', { overlays: overlays('10.0.1.11/24') }));
  const b = await host.attach(spec('b', { overlays: overlays('10.0.1.12/24') }));
  expect(await lab.ask('a', { host: '192.168.50.100', port: 80 }, 1)).toEqual({
    'world 192.168.50.1': 1,
  });
  await lab.serve('b', 'b', 80);
  const addressOfB =
    b.interfaces.find(({ networkId }) => networkId === '')?.address.split('/')[0] ?? '';
  expect(await lab.ask('a', { host: addressOfB, port: 80 }, 1)).toEqual({ ETIMEDOUT: 1 });
  expect(a.interfaces.map(({ link, address }) => [link, address])).toEqual([
    ['eth0', '10.0.1.11/24'],
    ['eth1', '172.18.0.2/16'],
  ]);
  expect(a.resolvConf).toBe('nameserver 127.0.0.11\noptions ndots:0\n');
  expect(a.hosts).toContain('10.0.1.11\ta\n');
});

test('an internal overlay has no way out', async () => {
  host.applyTables([networkTable({ endpoints: [], internal: true })]);
  await host.attach(spec('a', { overlays: [{ networkId: 'app-id', address: '10.0.1.11/24' }] }));
  expect(await lab.ask('a', { host: '192.168.50.100', port: 80 }, 1)).toEqual({ ENETUNREACH: 1 });
});

test('local networks: addresses, names, isolation, connect and disconnect', async () => {
  const bridge = host.ensureLocalNetwork({
    networkId: 'n0',
    name: 'bridge',
    subnet: '172.17.0.0/16',
    bridge: 'docker0',
  });
  const blue = host.ensureLocalNetwork({ networkId: 'n1', name: 'blue' });
  host.ensureLocalNetwork({ networkId: 'n2', name: 'shut', internal: true });
  expect(host.ensureLocalNetwork({ networkId: 'n1', name: 'blue' })).toEqual(blue);
  expect(blue.subnet).toBe('172.19.0.0/16');
  expect(() =>
    host.ensureLocalNetwork({ networkId: 'n3', name: 'x', subnet: '172.17.8.0/24' }),
  ).toThrow(/overlaps/);
  await host.attach(spec('a', { localNetworks: [{ networkId: 'n1', aliases: ['first'] }] }));
  const b = await host.attach(spec('b', { localNetworks: [{ networkId: 'n0' }] }));
  await host.attach(spec('c', { localNetworks: [{ networkId: 'n2' }] }));
  expect(b.interfaces).toMatchObject([{ address: '172.17.0.2/16', gateway: '172.17.0.1' }]);
  await lab.serve('b', 'b', 80);

  expect(await lab.ask('a', { host: '192.168.50.100', port: 80 }, 1)).toEqual({
    'world 192.168.50.1': 1,
  });
  expect(await lab.ask('c', { host: '192.168.50.100', port: 80 }, 1)).toEqual({ ENETUNREACH: 1 });
  expect(await lab.ask('a', { host: '172.17.0.2', port: 80 }, 1)).toEqual({ ETIMEDOUT: 1 });
  expect(await resolve('b', 'a')).toEqual(['ENOTFOUND']);

  const added = host.connect('b', { networkId: 'n1', aliases: ['second'] });
  expect(added).toMatchObject({ link: 'eth1', address: '172.19.0.3/16' });
  expect(await resolve('a', 'b', 'second', 'first')).toEqual([
    '172.19.0.3',
    '172.19.0.3',
    '172.19.0.2',
  ]);
  expect(await lab.ask('a', { host: '172.19.0.3', port: 80 }, 1)).toEqual({ 'b 172.19.0.2': 1 });
  expect(() => host.removeLocalNetwork('n1')).toThrow(/active endpoints/);

  host.disconnect('b', 'n1');
  expect(await lab.run('b', 'ip', '-o', 'link')).not.toContain('eth1');
  await host.detach('a');
  host.removeLocalNetwork('n1');
  expect(await lab.run('h1', 'ip', '-o', 'link')).not.toContain(blue.bridge);
  expect(bridge.bridge).toBe('docker0');
  expect((await host.repair()).findings).toEqual([]);
});

test('macvlan: a container is on the network of a link of the host', async () => {
  const spec1 = { networkId: 'm1', name: 'lan', parent: 'eth0' };
  expect(() =>
    host.ensureLocalNetwork({ ...spec1, parent: 'eth7', subnet: '10.1.0.0/24' }),
  ).toThrow('parent eth7 is no link of this host');
  expect(() => host.ensureLocalNetwork(spec1)).toThrow('needs the subnet of its parent');
  const lan = { subnet: '192.168.50.0/24', range: '192.168.50.192/28', gateway: '192.168.50.100' };
  host.ensureLocalNetwork({ ...spec1, ...lan });
  const a = await host.attach(spec('a', { localNetworks: [{ networkId: 'm1' }] }));
  await host.attach(spec('b', { localNetworks: [{ networkId: 'm1', aliases: ['other'] }] }));
  expect(a.interfaces[0]).toMatchObject({
    address: '192.168.50.192/24',
    gateway: '192.168.50.100',
  });
  await lab.serve('a', 'a', 80);
  expect(await lab.ask('outside', { host: '192.168.50.192', port: 80 })).toEqual({
    'a 192.168.50.100': 1,
  });
  expect(await lab.ask('a', { host: '192.168.50.100', port: 80 })).toEqual({
    'world 192.168.50.192': 1,
  });
  expect(await lab.ask('b', { host: '192.168.50.192', port: 80 })).toEqual({
    'a 192.168.50.193': 1,
  });
  expect(await resolve('a', 'b', 'other')).toEqual(['192.168.50.193', '192.168.50.193']);
  await lab.run('a', 'ip', 'link', 'delete', 'eth0');
  expect((await host.repair()).findings.join()).toContain('container a links');
  expect(await lab.ask('outside', { host: '192.168.50.192', port: 80 })).toEqual({
    'a 192.168.50.100': 1,
  });
  expect((await host.repair()).findings).toEqual([]);
  host.disconnect('b', 'm1');
  expect(await lab.run('b', 'ip', '-o', 'link')).not.toContain('eth0');
  await host.detach('a');
  expect(await lab.run('a', 'ip', '-o', 'link')).not.toContain('eth0');
  host.removeLocalNetwork('m1');
});

test('a subnet is not put over the host, and addresses come from its range', async () => {
  expect(() =>
    host.ensureLocalNetwork({ networkId: 'n1', name: 'x', subnet: '192.168.48.0/20' }),
  ).toThrow(/subnet 192.168.48.0\/20 overlaps with 192.168.50.1\/24 of link eth0 of this host/);
  host.ensureLocalNetwork({
    networkId: 'n2',
    name: 'ranged',
    subnet: '172.25.0.0/16',
    range: '172.25.9.0/30',
    gateway: '172.25.0.254',
    reserved: ['172.25.9.1'],
  });
  const ids = ['a', 'b', 'c'];
  const addresses: unknown[] = [];
  for (const id of ids) {
    const { interfaces } = await host.attach(spec(id, { localNetworks: [{ networkId: 'n2' }] }));
    addresses.push(interfaces[0]?.address, interfaces[0]?.gateway);
  }
  expect(addresses).toEqual(
    ['172.25.9.0/16', '172.25.9.2/16', '172.25.9.3/16'].flatMap((at) => [at, '172.25.0.254']),
  );
  await expect(host.attach(spec('d', { localNetworks: [{ networkId: 'n2' }] }))).rejects.toThrow(
    /network ranged has no address left/,
  );
});

test('host ports lead to one container, from outside, the host, localhost and the container itself', async () => {
  host.ensureLocalNetwork({ networkId: 'n0', name: 'bridge', subnet: '172.17.0.0/16' });
  const ports = [
    { protocol: 'tcp', targetPort: 80, publishedPort: 8080 },
    { protocol: 'udp', targetPort: 80, publishedPort: 0 },
    { protocol: 'tcp', targetPort: 80, publishedPort: 9090, hostIp: '127.0.0.1' },
    { protocol: 'tcp', targetPort: 80, publishedPort: 7070, listenOn: ['192.168.50.0/25'] },
  ] as const;
  const a = await host.attach(
    spec('a', { localNetworks: [{ networkId: 'n0' }], hostPorts: ports }),
  );
  await lab.serve('a', 'a', 80);
  expect(a.hostPorts.map(({ publishedPort }) => publishedPort)).toEqual([8080, 32768, 9090, 7070]);
  const target = { host: '192.168.50.1', port: 8080 };
  expect(await lab.ask('outside', target, 1)).toEqual({ 'a 192.168.50.100': 1 });
  expect(await lab.ask('h1', target, 1)).toEqual({ 'a 192.168.50.1': 1 });
  expect(await lab.ask('h1', { host: '127.0.0.1', port: 8080 }, 1)).toEqual({ 'a 172.17.0.1': 1 });
  expect(await lab.ask('h1', { host: '127.0.0.1', port: 9090 }, 1)).toEqual({ 'a 172.17.0.1': 1 });
  expect(await lab.ask('a', target, 1)).toEqual({ 'a 172.17.0.1': 1 });
  const datagram = { host: '192.168.50.1', port: 32768, udp: true };
  expect(await lab.ask('outside', datagram, 1)).toEqual({ 'a 192.168.50.100': 1 });
  expect(await lab.ask('outside', { host: '192.168.50.1', port: 9090 }, 1)).toEqual({
    ECONNREFUSED: 1,
  });

  expect(await lab.ask('outside', { ...target, port: 7070 })).toEqual({ 'a 192.168.50.100': 1 });
  expect(await lab.ask('h1', { host: '127.0.0.1', port: 7070 })).toEqual({ ECONNREFUSED: 1 });

  const clash = spec('b', { localNetworks: [{ networkId: 'n0' }], hostPorts: ports.slice(0, 1) });
  await expect(host.attach(clash)).rejects.toThrow(
    'Bind for 0.0.0.0:8080 failed: port is already allocated',
  );
  await host.detach('a');
  expect(await lab.ask('outside', target, 1)).toEqual({ ECONNREFUSED: 1 });
  await host.attach(clash);
});

test('a failed attach undoes itself', async () => {
  await expect(
    host.attach(spec('a', { overlays: [{ networkId: 'nowhere', address: '10.0.1.2/24' }] })),
  ).rejects.toThrow('network nowhere not found on this node');
  host.ensureLocalNetwork({ networkId: 'n0', name: 'bridge' });
  const broken = { ...spec('b', { localNetworks: [{ networkId: 'n0' }] }), netns: '/nonexistent' };
  await expect(host.attach(broken)).rejects.toThrow(/ENOENT/);
  expect(host.inspect('b')).toBeUndefined();
  const next = await host.attach(spec('c', { localNetworks: [{ networkId: 'n0' }] }));
  expect(next.interfaces).toMatchObject([{ address: '172.19.0.2/16' }]);
});

test('a bridge of both families: addresses, names, neighbours, the way out and published ports', async () => {
  const network = host.ensureLocalNetwork({ networkId: 'dual-id', name: 'dual', ipv6: {} });
  expect(network.ipv6).toEqual({
    subnet: 'fd6d:7573:7465:1000::/64',
    gateway: 'fd6d:7573:7465:1000::1',
  });
  const overlapping = { networkId: 'x', name: 'x', ipv6: { subnet: 'fd00:50::/48' } };
  expect(() => host.ensureLocalNetwork(overlapping)).toThrow('of link eth0 of this host');
  const localNetworks = [{ networkId: 'dual-id' }];
  const hostPorts = [{ protocol: 'tcp', targetPort: 80, publishedPort: 8080 }] as const;
  await host.attach(spec('a', { localNetworks }));
  const b = await host.attach(spec('b', { localNetworks, hostPorts }));
  await lab.serve('b', 'b', 80);
  const [link] = b.interfaces;
  expect(link).toMatchObject({
    address6: 'fd6d:7573:7465:1000::3/64',
    gateway6: 'fd6d:7573:7465:1000::1',
  });
  const address = 'fd6d:7573:7465:1000::3';
  const neighbour = 'fd6d:7573:7465:1000::2';
  expect(await lab.ask('a', { host: address, port: 80 })).toEqual({ [`b ${neighbour}`]: 1 });
  const names = RESOLVE.replace('resolve4', 'resolve6');
  const found = await lab.run('a', process.execPath, '-e', names, 'b');
  expect(JSON.parse(found)).toEqual([address]);
  const world = { host: 'fd00:50::100', port: 80 };
  expect(await lab.ask('a', world)).toEqual({ 'world fd00:50::1': 1 });
  const open = { host: 'fd00:50::1', port: 8080 };
  expect(await lab.ask('outside', open)).toEqual({ 'b fd00:50::100': 1 });
  const wanted = { networkId: 'dual-id', address6: address };
  await expect(host.attach(spec('c', { localNetworks: [wanted] }))).rejects.toThrow(
    `address ${address} is already in use`,
  );
  expect((await host.repair()).findings).toEqual([]);
});

test('an internal bridge of both families is closed in both', async () => {
  host.ensureLocalNetwork({ networkId: 'shut-id', name: 'shut', internal: true, ipv6: {} });
  await host.attach(spec('a', { localNetworks: [{ networkId: 'shut-id' }] }));
  expect(await lab.ask('a', { host: 'fd00:50::100', port: 80 })).toEqual({ ENETUNREACH: 1 });
});
