import { afterEach, beforeEach, expect, test } from 'vitest';
import { linuxKernel } from './kernel/linux.ts';
import type { HostNetwork, SandboxSpec } from './network.ts';
import { NetworkLab } from './testing/lab.ts';
import { networkTable } from './testing/table.ts';

/** One host with containers on overlays, and a machine outside that also has an address far away. */
let lab: NetworkLab;
let host: HostNetwork;

const CLIENT = 'fd00:50::100';
const FAR = '2001:db8::100';
const GATEWAY = 'fd6d:7573:7465:72::1';
const HOST = 'fd00:50::1';

const TABLES = [
  networkTable({
    subnet6: 'fd00:1::/64',
    endpoints: [
      { address: '10.0.1.10', address6: 'fd00:1::10', node: 1 },
      { address: '10.0.1.11', address6: 'fd00:1::11', node: 1 },
    ],
  }),
  networkTable({
    name: 'inner',
    internal: true,
    vni: 4098,
    subnet: '10.0.2.0/24',
    subnet6: 'fd00:2::/64',
    endpoints: [{ address: '10.0.2.10', address6: 'fd00:2::10', node: 1 }],
  }),
  networkTable({
    name: 'plain',
    vni: 4099,
    subnet: '10.0.3.0/24',
    endpoints: [{ address: '10.0.3.10', node: 1 }],
  }),
];

const ON_APP = { networkId: 'app-id', address: '10.0.1.10/24', address6: 'fd00:1::10/64' };
const ON_PLAIN = { networkId: 'plain-id', address: '10.0.3.10/24' };

const sandbox = (
  name: string,
  overlay: SandboxSpec['overlays'][number],
  hostPorts: SandboxSpec['hostPorts'] = [],
): SandboxSpec => ({
  containerId: name,
  netns: lab.namespace(name),
  name,
  hostname: name,
  overlays: [overlay],
  hostPorts,
});

const PORTS = [
  { protocol: 'tcp', targetPort: 80, publishedPort: 8080 },
  { protocol: 'udp', targetPort: 80, publishedPort: 8080 },
] as const;

beforeEach(async () => {
  lab = new NetworkLab();
  lab.machine('h1', 1);
  lab.machine('outside', 100);
  await lab.run('outside', 'ip', 'addr', 'add', `${FAR}/128`, 'dev', 'lo');
  await lab.serve('outside', 'outside', 80);
  using ns = linuxKernel.open(lab.pin('h1'));
  // A host that gets its routes from a router, and whose new links have no IPv6.
  ns.writeSysctl('net/ipv6/conf/eth0/accept_ra', '1');
  ns.writeSysctl('net/ipv6/conf/default/disable_ipv6', '1');
  await lab.run('h1', 'ip', '-6', 'route', 'add', 'default', 'via', CLIENT);
  host = await lab.host('h1', 1);
  host.applyTables(TABLES);
});

afterEach(async () => {
  await lab.close();
});

test('a container on an overlay with IPv6 reaches the world behind its host, which shows its own address', async () => {
  await host.attach(sandbox('c1', ON_APP));
  expect(await lab.ask('c1', { host: FAR, port: 80 })).toEqual({ [`outside ${HOST}`]: 1 });
  const datagram = { host: CLIENT, port: 80, udp: true };
  expect(await lab.ask('c1', datagram)).toEqual({ [`outside ${HOST}`]: 1 });
});

test('without an overlay with IPv6, or on an internal one alone, there is no way out by IPv6', async () => {
  await host.attach(sandbox('c1', ON_PLAIN));
  const inner = { networkId: 'inner-id', address: '10.0.2.10/24', address6: 'fd00:2::10/64' };
  await host.attach(sandbox('c2', inner));
  for (const name of ['c1', 'c2']) {
    expect(await lab.ask(name, { host: FAR, port: 80 })).toEqual({ ENETUNREACH: 1 });
  }
});

test('a running container gets the way out with the network that has it', async () => {
  await host.attach(sandbox('c1', ON_PLAIN));
  host.connect('c1', ON_APP);
  expect(await lab.ask('c1', { host: FAR, port: 80 })).toEqual({ [`outside ${HOST}`]: 1 });
  expect((await host.repair()).findings).toEqual([]);
});

test('ports of one container are open on the addresses of its host, whatever its networks', async () => {
  await host.attach(sandbox('c1', ON_PLAIN, PORTS));
  await lab.serve('c1', 'c1', 80);
  using ns = linuxKernel.open(lab.pin('h1'));
  const bridgeFilter = ns.readSysctl('net/bridge/bridge-nf-call-iptables') !== undefined;
  const localhost = bridgeFilter ? 'ECONNREFUSED' : `c1 ${GATEWAY}`;
  for (const udp of [false, true]) {
    const at = (address: string): Parameters<NetworkLab['ask']>[1] => {
      return { host: address, port: 8080, udp };
    };
    expect(await lab.ask('outside', at(HOST))).toEqual({ [`c1 ${CLIENT}`]: 1 });
    expect(await lab.ask('h1', at(HOST))).toEqual({ [`c1 ${HOST}`]: 1 });
    expect(await lab.ask('h1', at('::1'))).toEqual({ [localhost]: 1 });
    expect(await lab.ask('c1', at(HOST))).toEqual({ [`c1 ${GATEWAY}`]: 1 });
  }
  await host.detach('c1');
  expect(await lab.ask('outside', { host: HOST, port: 8080 })).toEqual({ ECONNREFUSED: 1 });
});

test('a port is open at the address that was asked for alone', async () => {
  const [port] = PORTS;
  await host.attach(sandbox('c1', ON_PLAIN, [{ ...port, hostIp: HOST }]));
  await lab.serve('c1', 'c1', 80);
  expect(await lab.ask('outside', { host: HOST, port: 8080 })).toEqual({ [`c1 ${CLIENT}`]: 1 });
  for (const address of ['192.168.50.1', '::1']) {
    expect(await lab.ask('h1', { host: address, port: 8080 })).toEqual({ ECONNREFUSED: 1 });
  }
});

test('containers do not reach each other by the gateway bridge', async () => {
  await host.attach(sandbox('c1', ON_APP));
  const other = { networkId: 'app-id', address: '10.0.1.11/24', address6: 'fd00:1::11/64' };
  await host.attach(sandbox('c2', other));
  await lab.serve('c2', 'c2', 80);
  expect(await lab.ask('c1', { host: 'fd00:1::11', port: 80 })).toEqual({ 'c2 fd00:1::10': 1 });
  const leg = host.inspect('c2')?.interfaces[1]?.address6?.split('/')[0] ?? '';
  const answers = Object.keys(await lab.ask('c1', { host: leg, port: 80 }));
  expect(answers.join()).toMatch(/^(ETIMEDOUT|EHOSTUNREACH)$/);
});

test('a host that learns its routes from a router goes on doing so, and is as before in the end', async () => {
  using ns = linuxKernel.open(lab.pin('h1'));
  const settings = (): readonly unknown[] =>
    ['eth0/accept_ra', 'default/accept_ra', 'all/forwarding', 'eth0/forwarding'].map((key) =>
      ns.readSysctl(`net/ipv6/conf/${key}`),
    );
  const before = settings();
  await host.attach(sandbox('c1', ON_APP));
  expect(settings()).toEqual(['2', '2', '1', '1']);
  expect(ns.readSysctl('net/ipv6/conf/mu-gw0/accept_ra')).toBe('0');
  await host.removeEverything();
  expect(settings()).toEqual(before);
  expect(await lab.run('h1', 'nft', 'list', 'ruleset')).toBe('');
});

test('what somebody took away comes back: IPv6 of the bridge, forwarding, its table', async () => {
  await host.attach(sandbox('c1', ON_APP, PORTS));
  await lab.serve('c1', 'c1', 80);
  using ns = linuxKernel.open(lab.pin('h1'));
  ns.writeSysctl('net/ipv6/conf/mu-gw0/disable_ipv6', '1');
  ns.writeSysctl('net/ipv6/conf/all/forwarding', '0');
  await lab.run('h1', 'nft', 'delete', 'table', 'ip6', 'muster-host');
  expect((await host.repair()).repairs).toBeGreaterThan(0);
  expect((await host.repair()).findings).toEqual([]);
  expect(await lab.ask('outside', { host: HOST, port: 8080 })).toEqual({ [`c1 ${CLIENT}`]: 1 });
  expect(await lab.ask('c1', { host: FAR, port: 80 })).toEqual({ [`outside ${HOST}`]: 1 });
});
