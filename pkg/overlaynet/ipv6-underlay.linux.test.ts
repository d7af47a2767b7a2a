import { afterEach, beforeEach, expect, test } from 'vitest';
import { NetworkNamespace, readChecksumOffload } from 'vxlan-netlink';
import type { Logger } from '../io/index.ts';
import type { NetworkTable } from '../model/index.ts';
import { linuxKernel } from './kernel/linux.ts';
import type { HostNetwork, SandboxSpec } from './network.ts';
import { pseudoHeaderSum } from './testing/checksum.ts';
import { NetworkLab } from './testing/lab.ts';
import { type HostFamily, hostAddress, networkTable } from './testing/table.ts';

const VIP = '10.0.1.2';
const tableOf = (hosts: HostFamily): NetworkTable =>
  networkTable({
    hosts,
    nodes: 2,
    endpoints: [
      { address: '10.0.1.10', node: 1, service: 'client' },
      { address: '10.0.1.11', node: 1 },
      { address: '10.0.1.12', node: 2 },
    ],
    services: [{ name: 'web', vip: VIP }],
  });
const TABLE = tableOf('ipv6');
const MESH = networkTable({
  hosts: 'ipv6',
  name: 'ingress',
  ingress: true,
  subnet: '10.0.0.0/24',
  endpoints: [],
  nodes: 2,
});
const FOUND_WITHIN = { timeout: 30_000 };
const warnings: string[] = [];
const log = {
  debug: () => undefined,
  info: () => undefined,
  warn: (said: string) => warnings.push(said),
  error: (said: string) => warnings.push(said),
} as unknown as Logger;

let lab: NetworkLab;
let one: HostNetwork;
let two: HostNetwork;

const sandbox = (name: string, address: string): SandboxSpec => ({
  containerId: name,
  netns: lab.namespace(name),
  name,
  hostname: name,
  overlays: [{ networkId: 'app-id', address: `${address}/24` }],
});

function everyone(...tables: readonly NetworkTable[]): void {
  for (const host of [one, two]) host.applyTables(tables);
}

/** Both hosts, a client on the first and a server on each. */
async function twoHosts(): Promise<void> {
  one = await lab.host('h1', 1, { log });
  two = await lab.host('h2', 2, { log });
  everyone(TABLE);
  await one.attach(sandbox('cl', '10.0.1.10'));
  await one.attach(sandbox('c1', '10.0.1.11'));
  await two.attach(sandbox('c2', '10.0.1.12'));
  for (const name of ['c1', 'c2']) await lab.serve(name, name, 80);
}

const ping = (from: string, ...words: readonly string[]): Promise<string> =>
  lab.run(from, 'busybox', 'ping', '-c1', '-W2', ...words);
const mtuOf = async (name: string): Promise<number> =>
  Number(/mtu (\d+)/.exec(await lab.run(name, 'ip', 'link', 'show', 'eth0'))?.[1]);
const setPort = (mtu: number): Promise<string> =>
  lab.run('switch', 'ip', 'link', 'set', 'p-h2', 'mtu', String(mtu));

beforeEach(() => {
  lab = new NetworkLab({ hosts: 'ipv6' });
  warnings.length = 0;
});

afterEach(async () => {
  await lab.close();
});

test('hosts without IPv4 carry the packets of containers, none of which they track', async () => {
  await twoHosts();
  expect(await mtuOf('cl')).toBe(1430);
  // The largest one, with everything around it, is as large as the link takes.
  await ping('cl', '-s', String(1430 - 28), '10.0.1.12');
  expect(await lab.ask('cl', { host: VIP, port: 80 }, 20)).toEqual({
    'c1 10.0.1.10': 10,
    'c2 10.0.1.10': 10,
  });
  expect(Object.keys(await lab.ask('cl', { host: VIP, port: 80, udp: true }, 4))).toHaveLength(2);
  using host = linuxKernel.open(lab.pin('h1'));
  const destinations = host.connections().map(({ connection }) => connection.originalDestination);
  expect(destinations).not.toContain(hostAddress(2, 'ipv6'));
  expect(warnings).toEqual([]);
});

test('frames are taken from peers alone, and what is deleted comes back', async () => {
  await twoHosts();
  lab.machine('intruder', 66);
  const link = ['vx', 'type', 'vxlan', 'id', '4097', 'dstport', '4789'];
  const ends = ['remote', hostAddress(1, 'ipv6'), 'local', hostAddress(66, 'ipv6')];
  await lab.run('intruder', 'ip', 'link', 'add', ...link, ...ends);
  await lab.run('intruder', 'ip', 'address', 'add', '10.0.1.12/24', 'dev', 'vx');
  await lab.run('intruder', 'ip', 'link', 'set', 'vx', 'up');
  const neighbour = ['10.0.1.11', 'lladdr', '02:42:0a:00:01:0b', 'dev', 'vx'];
  await lab.run('intruder', 'ip', 'neigh', 'add', ...neighbour);
  /** Datagrams that came to a closed port of c1. */
  const arrived = async (): Promise<number> => {
    const [, numbers = ''] = (await lab.run('c1', 'grep', '^Udp:', '/proc/net/snmp')).split('\n');
    return Number(numbers.split(' ')[2]);
  };
  const send = (): Promise<unknown> =>
    lab.ask('intruder', { host: '10.0.1.11', port: 9, udp: true });
  await send();
  expect(await arrived()).toBe(0);
  await lab.run('h1', 'nft', 'delete', 'table', 'ip6', 'muster-guard');
  await send();
  await expect.poll(arrived, { timeout: 20_000 }).toBe(1);
  expect((await one.repair()).findings).toEqual(['host tables: 1']);
  await send();
  expect(await arrived()).toBe(1);

  const hub = `--net=${lab.runDir('h1')}/netns/app-id`;
  const entry = ['02:42:0a:00:01:0c', 'dev', 'vx0', 'dst', hostAddress(2, 'ipv6')];
  await lab.run('h1', 'nsenter', hub, 'bridge', 'fdb', 'del', ...entry);
  expect((await one.repair()).findings).toEqual(['network app-id: 1']);
  expect((await one.repair()).findings).toEqual([]);
  await ping('cl', '10.0.1.12');
});

test('where a switch loses packets that the links take, overlays use smaller ones', async () => {
  lab.machine('h1', 1);
  lab.machine('h2', 2);
  await setPort(1400);
  await twoHosts();
  // A port takes the four bytes of a VLAN tag more than it says.
  for (const name of ['cl', 'c2']) {
    await expect.poll(() => mtuOf(name), FOUND_WITHIN).toBeLessThanOrEqual(1334);
    expect(await mtuOf(name)).toBeGreaterThan(1310);
  }
  await ping('cl', '-s', '2000', '10.0.1.12');
});

test('where a card spoils the checksums within tunnels, they are complete before they come to it', async () => {
  lab.machine('h1', 1);
  lab.machine('h2', 2);
  const left = pseudoHeaderSum('10.0.0.201', '10.0.0.202', 40);
  const chain = '{ type filter hook prerouting priority -400; }';
  await lab.run('h2', 'nft', `add table ip6 card; add chain ip6 card in ${chain}`);
  await lab.run('h2', 'nft', `add rule ip6 card in udp dport 4789 @th,528,16 ${left} counter drop`);
  two = await lab.host('h2', 2, { log });
  two.applyTables([MESH]);
  one = await lab.host('h1', 1, { log });
  one.applyTables([MESH]);
  await expect
    .poll(() => warnings, FOUND_WITHIN)
    .toContainEqual(expect.stringContaining('bad checksums'));
  using hub = NetworkNamespace.open(`${lab.runDir('h1')}/netns/ingress-id`);
  expect(hub.run(() => readChecksumOffload('vx0'))).toBe(false);
  expect(await lab.ask('h1', { host: '10.0.0.202', port: 9 })).toEqual({ ECONNREFUSED: 1 });
});

test('hosts move from IPv4 to IPv6 one after the other, and nothing is left of what was before', async () => {
  await twoHosts();
  const before = tableOf('ipv4');
  for (const [number, host] of [
    [1, one],
    [2, two],
  ] as const) {
    const address = `${hostAddress(number, 'ipv4')}/24`;
    await lab.run(`h${number}`, 'ip', 'address', 'add', address, 'dev', 'eth0');
    host.become({ nodeId: `node-${number}`, underlayAddress: hostAddress(number, 'ipv4') });
  }
  everyone(before);
  await ping('cl', '10.0.1.12');
  expect(await mtuOf('cl')).toBe(1450);
  expect(await lab.run('h1', 'nft', 'list', 'tables')).not.toContain('ip6 muster-guard');

  // The other host has moved, this one has not: it holds what it can, and is refused nothing.
  const [first, second] = [before.peers.slice(0, 1), TABLE.peers.slice(1)];
  two.become({ nodeId: 'node-2', underlayAddress: hostAddress(2, 'ipv6') });
  everyone({ ...TABLE, peers: [...first, ...second] });
  expect((await one.repair()).findings).toEqual([]);
  one.become({ nodeId: 'node-1', underlayAddress: hostAddress(1, 'ipv6') });
  everyone(TABLE);
  await ping('cl', '10.0.1.12');
  expect(await mtuOf('cl')).toBe(1430);
  expect(await lab.run('h1', 'nft', 'list', 'tables')).not.toContain('ip muster-guard');
  await one.removeEverything();
  expect(await lab.run('h1', 'nft', 'list', 'ruleset')).toBe('');
});
