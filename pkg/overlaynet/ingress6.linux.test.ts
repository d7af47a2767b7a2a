import { afterEach, beforeEach, expect, test } from 'vitest';
import type { MeshWishes, NetworkTable } from '../model/index.ts';
import { linuxKernel } from './kernel/linux.ts';
import type { HostNetwork, SandboxSpec } from './network.ts';
import { NetworkLab } from './testing/lab.ts';
import { networkTable, type TestEndpoint } from './testing/table.ts';

/** As in `ingress.linux.test.ts`: two workers with two backends each, a third host without any, and a client outside. */
let lab: NetworkLab;
let hosts: readonly HostNetwork[];

const BACKENDS: readonly TestEndpoint[] = [11, 12, 13, 14].map((number) => ({
  address: `10.0.0.${number}`,
  address6: `fd00:77::${number}`,
  node: number < 13 ? 1 : 2,
}));
const CLIENT = 'fd00:50::100';
/** A node's address in the mesh follows from its IPv4 one there, 10.0.0.201 and so on. */
const footOf = (number: number): string => `fd00:77::8000:0:a00:${(200 + number).toString(16)}`;

const table = (endpoints: readonly TestEndpoint[], mesh?: MeshWishes): NetworkTable =>
  networkTable({
    name: 'ingress',
    ingress: true,
    subnet: '10.0.0.0/24',
    subnet6: 'fd00:77::/64',
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

const sandbox = (name: string, { address, address6 }: TestEndpoint): SandboxSpec => ({
  containerId: name,
  netns: lab.namespace(name),
  name,
  hostname: name,
  overlays: [
    { networkId: 'ingress-id', address: `${address}/24`, address6: address6 && `${address6}/64` },
  ],
});

async function start(ingressMode: 'preserve' | 'masquerade'): Promise<void> {
  const [one, two, three] = [1, 2, 3].map((n) => lab.host(`h${n}`, n, { ingressMode }));
  hosts = await Promise.all([one, two, three].flatMap((host) => host ?? []));
  lab.machine('outside', 100);
  for (const host of hosts) host.applyTables([table(BACKENDS)]);
  for (const [index, endpoint] of BACKENDS.entries()) {
    const name = `c${index + 1}`;
    await hosts[endpoint.node - 1]?.attach(sandbox(name, endpoint));
    await lab.serve(name, name, 80);
  }
}

const seen = (client: string, each: number): unknown =>
  Object.fromEntries(['c1', 'c2', 'c3', 'c4'].map((name) => [`${name} ${client}`, each]));

const tcp = (host: string): { readonly host: string; readonly port: number } => {
  return { host, port: 8080 };
};
const udp = (host: string): Parameters<NetworkLab['ask']>[1] => {
  return { host, port: 5353, udp: true };
};

beforeEach(() => {
  lab = new NetworkLab();
});

afterEach(async () => {
  await lab.close();
});

test('every node takes the published port in and every backend sees the client', async () => {
  await start('preserve');
  for (const number of [1, 2, 3]) {
    const host = `fd00:50::${number}`;
    expect(await lab.ask('outside', tcp(host), 8)).toEqual(seen(CLIENT, 2));
    expect(await lab.ask('outside', udp(host), 4)).toEqual(seen(CLIENT, 1));
  }
});

test('a host reaches the port by its own address, by localhost and through another host', async () => {
  await start('preserve');
  for (const number of [1, 3]) {
    const own = `fd00:50::${number}`;
    for (const ask of [tcp, udp]) {
      expect(await lab.ask(`h${number}`, ask(own), 4)).toEqual(seen(own, 1));
      expect(await lab.ask(`h${number}`, ask('::1'), 4)).toEqual(seen(footOf(number), 1));
      expect(await lab.ask(`h${number}`, ask('fd00:50::2'), 4)).toEqual(seen(own, 1));
    }
  }
});

test('a container reaches the port of its own host, which may lead back to itself', async () => {
  await start('preserve');
  expect(await lab.ask('c1', tcp('fd00:50::1'), 4)).toEqual(seen(footOf(1), 1));
  expect(await lab.ask('c1', udp('fd00:50::1'), 4)).toEqual(seen(footOf(1), 1));
});

test('masquerade mode shows the entry node instead', async () => {
  await start('masquerade');
  for (const number of [1, 3]) {
    expect(await lab.ask('outside', tcp(`fd00:50::${number}`), 8)).toEqual(seen(footOf(number), 2));
  }
});

test('a service chooses: entry node as source, own backends first, where its ports are open', async () => {
  await start('preserve');
  const wish = (mesh: MeshWishes | undefined): void => {
    for (const host of hosts) host.applyTables([table(BACKENDS, mesh)]);
  };
  const at = (number: number): ReturnType<typeof tcp> => tcp(`fd00:50::${number}`);
  wish({ masquerade: true });
  expect(await lab.ask('outside', at(3), 8)).toEqual(seen(footOf(3), 2));
  wish({ preferLocal: true });
  const own = { [`c1 ${CLIENT}`]: 4, [`c2 ${CLIENT}`]: 4 };
  expect(await lab.ask('outside', at(1), 8)).toEqual(own);
  expect(await lab.ask('outside', at(3), 8)).toEqual(seen(CLIENT, 2));
  for (const place of ['fd00:50::2', 'fd00:50::2/127', 'eth0', '192.168.50.2']) {
    wish({ listenOn: [place] });
    const open = { 'fd00:50::2': [2], '192.168.50.2': [] as number[] }[place] ?? [1, 2, 3];
    for (const number of [2, 3]) {
      const answers = Object.keys(await lab.ask('outside', at(number)));
      if (open.includes(number)) expect(answers).toEqual([expect.stringContaining(CLIENT)]);
      else expect(answers).toEqual(['ECONNREFUSED']);
    }
  }
  wish({ listenOn: ['::1'] });
  expect(await lab.ask('outside', at(1))).toEqual({ ECONNREFUSED: 1 });
  expect(await lab.ask('h1', tcp('::1'), 4)).toEqual(seen(footOf(1), 1));
});

test('segments fit the narrowest link that the mesh knows of', async () => {
  await start('preserve');
  const narrow = ['-6', 'route', 'add', `${CLIENT}/128`, 'dev', 'eth0', 'mtu', '1300'];
  await lab.run('h1', 'ip', ...narrow);
  const held = lab.hold('outside', tcp('fd00:50::1'));
  expect(await held.next()).toMatch(/^c/);
  const sockets = await lab.run('outside', 'ss', '-tin', 'dport', '=', ':8080');
  const [, segment] = /\bmss:(\d+)/.exec(sockets) ?? [];
  expect(Number(segment)).toBeLessThanOrEqual(1300 - 60);
});

test('only published ports are open, and a port without backends refuses', async () => {
  await start('preserve');
  const refused = { ECONNREFUSED: 1 };
  expect(await lab.ask('outside', { host: 'fd00:50::1', port: 80 }, 1)).toEqual(refused);
  await lab.run('outside', 'ip', '-6', 'route', 'add', 'fd00:77::/64', 'via', 'fd00:50::1');
  expect(await lab.ask('outside', { host: 'fd00:77::11', port: 80 }, 1)).toEqual({ ETIMEDOUT: 1 });
  const drained = BACKENDS.map((endpoint) => ({ ...endpoint, out: true }));
  for (const host of hosts) host.applyTables([table(drained)]);
  expect(await lab.ask('outside', tcp('fd00:50::3'), 1)).toEqual(refused);
});

test('where links are too narrow for IPv6 the mesh goes on with IPv4', async () => {
  for (const number of [1, 2, 3]) {
    lab.machine(`h${number}`, number);
    await lab.run(`h${number}`, 'ip', 'link', 'set', 'eth0', 'mtu', '1300');
  }
  await start('preserve');
  expect(await lab.ask('outside', tcp('192.168.50.3'), 8)).toEqual(seen('192.168.50.100', 2));
  for (const host of hosts) expect((await host.repair()).findings).toEqual([]);
});

test('a flow of datagrams chooses another backend when its own leaves', async () => {
  await start('preserve');
  const held = lab.hold('outside', udp('fd00:50::3'));
  const [first = ''] = (await held.next()).split(' ');
  const left = BACKENDS.map((endpoint, at) => ({ ...endpoint, out: `c${at + 1}` === first }));
  for (const host of hosts) host.applyTables([table(left)]);
  for (const host of hosts) await host.flowsForgotten();
  const next = await held.next();
  expect(next).toMatch(new RegExp(`^c\\d ${CLIENT}$`));
  expect(next).not.toContain(first);
});

test('what somebody took away comes back: rules, tables, routes, addresses, the link; removal leaves nothing', async () => {
  await start('preserve');
  await lab.run('c3', 'ip', '-6', 'rule', 'flush');
  await lab.run('c3', 'ip', '-6', 'rule', 'add', 'pref', '32766', 'table', 'main');
  await lab.run('c4', 'nft', 'delete', 'table', 'ip6', 'muster-return');
  await lab.run('c4', 'ip', '-6', 'route', 'del', 'default');
  await lab.run('h1', 'nft', 'delete', 'table', 'ip6', 'muster-ingress');
  await lab.run('h1', 'ip', '-6', 'route', 'del', 'local', '::1', 'dev', 'mu-ingress');
  await lab.run('h2', 'ip', '-6', 'addr', 'flush', 'dev', 'mu-ingress');
  await lab.run('h3', 'ip', 'link', 'del', 'mu-ingress');
  for (const host of hosts) expect((await host.repair()).repairs).toBeGreaterThan(0);
  for (const host of hosts) expect((await host.repair()).findings).toEqual([]);
  for (const number of [1, 2, 3]) {
    expect(await lab.ask('outside', tcp(`fd00:50::${number}`), 4)).toEqual(seen(CLIENT, 1));
    expect(await lab.ask(`h${number}`, tcp('::1'), 4)).toEqual(seen(footOf(number), 1));
  }
  for (const host of hosts) await host.removeEverything();
  expect(await lab.run('h1', 'nft', 'list', 'ruleset')).toBe('');
  expect(await lab.run('h1', 'ip', '-o', 'link')).not.toContain('mu-');
  expect(await lab.run('h1', 'ip', '-6', 'route', 'show', 'table', 'all')).not.toContain('mu-');
  using one = linuxKernel.open(lab.pin('h1'));
  expect(one.readSysctl('net/ipv6/conf/all/forwarding')).toBe('0');
});
