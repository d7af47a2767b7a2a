import { afterEach, beforeEach, expect, test } from 'vitest';
import type { MeshWishes, NetworkTable } from '../model/index.ts';
import type { HostNetwork, SandboxSpec } from './network.ts';
import { NetworkLab } from './testing/lab.ts';
import { networkTable, type TestEndpoint } from './testing/table.ts';

/** Two workers with two backends each, a third host without any, and a client outside of the cluster. */
let lab: NetworkLab;
let hosts: readonly HostNetwork[];

const BACKENDS: readonly TestEndpoint[] = [
  { address: '10.0.0.11', node: 1 },
  { address: '10.0.0.12', node: 1 },
  { address: '10.0.0.13', node: 2 },
  { address: '10.0.0.14', node: 2 },
];

const table = (endpoints: readonly TestEndpoint[], mesh?: MeshWishes): NetworkTable =>
  networkTable({
    name: 'ingress',
    ingress: true,
    subnet: '10.0.0.0/24',
    endpoints,
    services: [
      {
        name: 'web',
        vip: '10.0.0.2',
        mesh,
        ports: [
          { protocol: 'tcp', publishMode: 'ingress', publishedPort: 8080, targetPort: 80 },
          { protocol: 'udp', publishMode: 'ingress', publishedPort: 5353, targetPort: 80 },
        ],
      },
    ],
  });

const sandbox = (name: string, address: string): SandboxSpec => ({
  containerId: name,
  netns: lab.namespace(name),
  name,
  hostname: name,
  overlays: [{ networkId: 'ingress-id', address: `${address}/24` }],
});

async function start(ingressMode: 'preserve' | 'masquerade'): Promise<void> {
  const [one, two, three] = [1, 2, 3].map((n) => lab.host(`h${n}`, n, { ingressMode }));
  hosts = await Promise.all([one, two, three].flatMap((host) => host ?? []));
  lab.machine('outside', 100);
  for (const host of hosts) host.applyTables([table(BACKENDS)]);
  for (const [index, { address, node }] of BACKENDS.entries()) {
    const name = `c${index + 1}`;
    await hosts[node - 1]?.attach(sandbox(name, address));
    await lab.serve(name, name, 80);
  }
}

const seen = (client: string, each: number): unknown =>
  Object.fromEntries(['c1', 'c2', 'c3', 'c4'].map((name) => [`${name} ${client}`, each]));

beforeEach(() => {
  lab = new NetworkLab();
});

afterEach(async () => {
  await lab.close();
});

test('every node takes the published port in and every backend sees the client', async () => {
  await start('preserve');
  for (const number of [1, 2, 3]) {
    const host = `192.168.50.${number}`;
    expect(await lab.ask('outside', { host, port: 8080 }, 8)).toEqual(seen('192.168.50.100', 2));
    expect(await lab.ask('outside', { host, port: 5353, udp: true }, 4)).toEqual(
      seen('192.168.50.100', 1),
    );
  }
});

test('a host reaches the port by its own address, by localhost and through another host', async () => {
  await start('preserve');
  for (const number of [1, 3]) {
    const own = { host: `192.168.50.${number}`, port: 8080 };
    expect(await lab.ask(`h${number}`, own, 4)).toEqual(seen(`192.168.50.${number}`, 1));
    const local = { host: '127.0.0.1', port: 8080 };
    expect(await lab.ask(`h${number}`, local, 4)).toEqual(seen(`10.0.0.20${number}`, 1));
    const datagrams = { ...local, port: 5353, udp: true };
    expect(await lab.ask(`h${number}`, datagrams, 4)).toEqual(seen(`10.0.0.20${number}`, 1));
    const other = { host: '192.168.50.2', port: 8080 };
    expect(await lab.ask(`h${number}`, other, 4)).toEqual(seen(`192.168.50.${number}`, 1));
  }
});

test('a container reaches the port of its own host, which may lead back to itself', async () => {
  await start('preserve');
  const target = { host: '192.168.50.1', port: 8080 };
  expect(await lab.ask('c1', target, 4)).toEqual(seen('10.0.0.201', 1));
});

test('masquerade mode shows the entry node instead', async () => {
  await start('masquerade');
  for (const number of [1, 3]) {
    const target = { host: `192.168.50.${number}`, port: 8080 };
    expect(await lab.ask('outside', target, 8)).toEqual(seen(`10.0.0.20${number}`, 2));
  }
});

test('a service chooses: entry node as source, own backends first, where its ports are open', async () => {
  await start('preserve');
  const wish = (mesh: MeshWishes | undefined): void => {
    for (const host of hosts) host.applyTables([table(BACKENDS, mesh)]);
  };
  const at = (number: number): { readonly host: string; readonly port: number } => ({
    host: `192.168.50.${number}`,
    port: 8080,
  });
  wish({ masquerade: true });
  expect(await lab.ask('outside', at(3), 8)).toEqual(seen('10.0.0.203', 2));
  wish({ preferLocal: true });
  const own = { 'c1 192.168.50.100': 4, 'c2 192.168.50.100': 4 };
  expect(await lab.ask('outside', at(1), 8)).toEqual(own);
  expect(await lab.ask('outside', at(3), 8)).toEqual(seen('192.168.50.100', 2));
  for (const place of ['192.168.50.2', '192.168.50.2/31', 'eth0']) {
    wish({ listenOn: [place] });
    const open = place === 'eth0' || place.endsWith('/31') ? [1, 2, 3] : [2];
    for (const number of [2, 3]) {
      const answers = Object.keys(await lab.ask('outside', at(number)));
      if (open.includes(number)) expect(answers[0]).toMatch(/^c\d 192.168.50.100$/);
      else expect(answers).toEqual(['ECONNREFUSED']);
    }
  }
  wish({ listenOn: ['127.0.0.1'] });
  expect(await lab.ask('outside', at(1))).toEqual({ ECONNREFUSED: 1 });
  const local = await lab.ask('h1', { host: '127.0.0.1', port: 8080 }, 4);
  expect(Object.keys(local)).toHaveLength(4);
  expect(Object.keys(local).join()).not.toContain('ECONN');
});

test('segments fit the narrowest link that the mesh knows of', async () => {
  await start('preserve');
  const narrow = ['route', 'add', '192.168.50.100/32', 'dev', 'eth0', 'mtu', '1200'];
  await lab.run('h1', 'ip', ...narrow);
  const held = lab.hold('outside', { host: '192.168.50.1', port: 8080 });
  expect(await held.next()).toMatch(/^c/);
  const sockets = await lab.run('outside', 'ss', '-tin', 'dport', '=', ':8080');
  const [, segment] = /\bmss:(\d+)/.exec(sockets) ?? [];
  expect(Number(segment)).toBeLessThanOrEqual(1200 - 40);
});

test('only published ports are open, and a port without backends refuses', async () => {
  await start('preserve');
  const refused = { ECONNREFUSED: 1 };
  expect(await lab.ask('outside', { host: '192.168.50.1', port: 80 }, 1)).toEqual(refused);
  await lab.run('outside', 'ip', 'route', 'add', '10.0.0.0/24', 'via', '192.168.50.1');
  expect(await lab.ask('outside', { host: '10.0.0.11', port: 80 }, 1)).toEqual({ ETIMEDOUT: 1 });
  const drained = BACKENDS.map((endpoint) => ({ ...endpoint, out: true }));
  for (const host of hosts) host.applyTables([table(drained)]);
  expect(await lab.ask('outside', { host: '192.168.50.3', port: 8080 }, 1)).toEqual(refused);
});

test('repair restores policy routes and the mesh table; removal leaves the host as it was', async () => {
  await start('preserve');
  await lab.run('c3', 'ip', 'rule', 'flush');
  await lab.run('c3', 'ip', 'rule', 'add', 'pref', '32766', 'table', 'main');
  await lab.run('h1', 'nft', 'delete', 'table', 'ip', 'muster-ingress');
  await lab.run('h3', 'ip', 'link', 'del', 'mu-ingress');
  for (const host of hosts) expect((await host.repair()).repairs).toBeGreaterThan(0);
  for (const host of hosts) expect((await host.repair()).findings).toEqual([]);
  for (const number of [1, 3]) {
    const target = { host: `192.168.50.${number}`, port: 8080 };
    expect(await lab.ask('outside', target, 4)).toEqual(seen('192.168.50.100', 1));
  }
  for (const host of hosts) await host.removeEverything();
  expect(await lab.run('h1', 'nft', 'list', 'ruleset')).toBe('');
  expect(await lab.run('h1', 'ip', '-o', 'link')).not.toContain('mu-');
});

test('a port whose backends the kernel lost is silent, not refused, until it is put right', async () => {
  await start('preserve');
  await lab.run('h1', 'nft', 'flush', 'map', 'ip', 'muster-ingress', 'slots');
  const entry = { host: '192.168.50.1', port: 5353, udp: true };
  expect(await lab.ask('outside', entry)).toEqual({ ETIMEDOUT: 1 });
  await hosts[0]?.repair();
  expect(Object.values(await lab.ask('outside', entry, 4))).toEqual([1, 1, 1, 1]);
});
