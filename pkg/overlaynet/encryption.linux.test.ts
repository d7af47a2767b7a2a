import { afterEach, expect, test } from 'vitest';
import type { NetworkEncryption, NetworkTable } from '../model/index.ts';
import { linuxKernel } from './kernel/linux.ts';
import type { HostNetwork } from './network.ts';
import { NetworkLab } from './testing/lab.ts';
import { type HostFamily, hostAddress, networkTable } from './testing/table.ts';

/** Where it cannot, `test/vm/run.sh` runs this file on a kernel that can. */
const canEncrypt = (hosts: HostFamily): boolean => {
  using namespace = linuxKernel.open();
  return namespace.security.canEncrypt(hostAddress(1, hosts));
};
const FAMILIES: readonly HostFamily[] = ['ipv4', 'ipv6'];
const withEsp = test.each(FAMILIES.filter(canEncrypt));
const withoutEsp = test.each(FAMILIES.filter((family) => !canEncrypt(family)));

const secret = (fill: number): string => Buffer.alloc(32, fill).toString('base64');
const keys = (numbers: readonly number[], current: number): NetworkEncryption => ({
  keys: numbers.map((number) => ({ number, secret: secret(number) })),
  current,
});
const ENDPOINTS = [
  { address: '10.0.1.11', node: 1 },
  { address: '10.0.1.12', node: 2 },
];

let lab: NetworkLab;
let one: HostNetwork;
let two: HostNetwork;
let hosts: HostFamily;

const encrypted = (encryption = keys([1, 2], 1)): NetworkTable => ({
  ...networkTable({ endpoints: ENDPOINTS, nodes: 2, hosts }),
  encryption,
});
const attach = async (host: HostNetwork, name: string, address: string): Promise<void> => {
  await host.attach({
    containerId: name,
    netns: lab.namespace(name),
    name,
    hostname: name,
    overlays: [{ networkId: 'app-id', address: `${address}/24` }],
  });
};
const ping = (from: string, address: string): Promise<string> =>
  lab.run(from, 'busybox', 'ping', '-c1', '-W3', address);

async function oneHost(family: HostFamily): Promise<void> {
  hosts = family;
  lab = new NetworkLab({ hosts });
  one = await lab.host('h1', 1);
}

afterEach(async () => {
  await lab.close();
});

withoutEsp(
  '%s: a kernel that cannot encrypt takes no part, and says what it lacks',
  async (family) => {
    await oneHost(family);
    const clear = { ...networkTable({ name: 'clear', endpoints: [], vni: 4100 }) };
    expect(one.abilities().canEncrypt).toBe(false);
    expect(() => one.applyTables([encrypted(), clear])).toThrow(
      /cannot encrypt overlay networks on this node: .*needs ESP with AES-GCM/,
    );
    expect([...one.applyTables([clear]).keys()]).toEqual(['clear-id']);
  },
);

/** Packets that the switch passed on: encrypted ones, and tunnel packets in clear. */
const passed = async (): Promise<{ readonly esp: number; readonly clear: number }> => {
  const listing = await lab.run('switch', 'nft', '-j', 'list', 'counters');
  const counters = (
    JSON.parse(listing) as { nftables: { counter?: { name: string; packets: number } }[] }
  ).nftables.flatMap(({ counter }) => counter ?? []);
  const of = (name: string): number =>
    counters.find((counter) => counter.name === name)?.packets ?? 0;
  return { esp: of('sealed'), clear: of('plain') };
};

async function twoHosts(family: HostFamily): Promise<void> {
  await oneHost(family);
  two = await lab.host('h2', 2);
  const chain = 'type filter hook forward priority 10;';
  await lab.run(
    'switch',
    'nft',
    `table bridge seen { counter sealed {}; counter plain {}; chain f { ${chain} ip protocol esp counter name sealed; ip6 nexthdr esp counter name sealed; udp dport 4789-4790 counter name plain; }; }`,
  );
  for (const host of [one, two]) host.applyTables([encrypted()]);
  await attach(one, 'c1', '10.0.1.11');
  await attach(two, 'c2', '10.0.1.12');
}

withEsp(
  '%s: containers reach each other, and nothing is seen in clear between the hosts',
  async (family) => {
    await twoHosts(family);
    await ping('c1', '10.0.1.12');
    await ping('c2', '10.0.1.11');
    const { esp, clear } = await passed();
    expect(esp).toBeGreaterThanOrEqual(4);
    expect(clear).toBe(0);
    const [link] = JSON.parse(await lab.run('c1', 'ip', '-j', 'link', 'show', 'eth0'));
    const mtu = { ipv4: 1410, ipv6: 1390 }[family];
    expect(link.mtu).toBe(mtu);
    // A packet of that size fits the underlay with everything around it.
    await lab.run('c1', 'busybox', 'ping', '-c1', '-W3', '-s', String(mtu - 28), '10.0.1.12');
  },
);

withEsp('%s: keys change one host after the other without a lost packet', async (family) => {
  await twoHosts(family);
  const rotations = [keys([1, 2, 3], 2), keys([2, 3, 4], 3), keys([3, 4, 5], 4)];
  for (const encryption of rotations) {
    for (const host of [one, two]) {
      host.applyTables([encrypted(encryption)]);
      await ping('c1', '10.0.1.12');
      await ping('c2', '10.0.1.11');
    }
  }
  expect((await passed()).clear).toBe(0);
  const states = await lab.run('h1', 'ip', 'xfrm', 'state');
  // Three to be understood, one to send with.
  expect(states.match(/^src /gm)).toHaveLength(4);
  const policies = await lab.run('h1', 'ip', 'xfrm', 'policy');
  const [self, peer] = [hostAddress(1, family), hostAddress(2, family)];
  const { bits, any } = { ipv4: { bits: 32, any: '0.0.0.0/0' }, ipv6: { bits: 128, any: '::/0' } }[
    family
  ];
  expect(states).toContain(`src ${peer} dst ${self}\n`);
  expect(policies).toContain(`src ${self}/${bits} dst ${peer}/${bits} proto udp dport 4790`);
  expect(policies).toContain(`tmpl src ${self} dst ${peer}\n`);
  expect(policies).toContain(`src ${any} dst ${any} proto udp dport 4790`);
});

withEsp(
  '%s: what comes in clear is dropped, from strangers and in the name of a peer',
  async (family) => {
    await twoHosts(family);
    lab.machine('h3', 3);
    const counting =
      'table ip seen { counter frames {}; chain i { type filter hook input priority 0; icmp type echo-request counter name frames; }; }';
    await lab.run('c1', 'nft', counting);
    const inject = async (): Promise<void> => {
      await lab.run('h3', 'busybox', 'ping', '-c2', '-W1', '10.0.1.11').catch(() => undefined);
    };
    const arrived = async (): Promise<number> =>
      Number(/packets (\d+)/.exec(await lab.run('c1', 'nft', 'list', 'counters'))?.[1]);
    await lab.run(
      'h3',
      'ip',
      'link',
      'add',
      'vx',
      'type',
      'vxlan',
      'id',
      '4097',
      'dstport',
      '4790',
      'remote',
      hostAddress(1, family),
      'local',
      hostAddress(3, family),
    );
    await lab.run('h3', 'ip', 'addr', 'add', '10.0.1.12/24', 'dev', 'vx');
    await lab.run('h3', 'ip', 'link', 'set', 'vx', 'up');
    await lab.run(
      'h3',
      'ip',
      'neigh',
      'add',
      '10.0.1.11',
      'lladdr',
      '02:42:0a:00:01:0b',
      'dev',
      'vx',
    );
    await inject();
    expect(await arrived()).toBe(0);
    // The same without the policies arrives: it is these that keep it out. They come back by themselves.
    await lab.run('h1', 'ip', 'xfrm', 'policy', 'flush');
    await inject();
    expect(await arrived()).toBeGreaterThan(0);
    expect((await one.repair()).findings).toContain('encryption: 4');
    const before = await arrived();
    await inject();
    expect(await arrived()).toBe(before);
    await ping('c1', '10.0.1.12');
  },
);

withEsp('%s: when the network goes, so do keys and policies', async (family) => {
  await twoHosts(family);
  for (const [host, name] of [
    [one, 'c1'],
    [two, 'c2'],
  ] as const) {
    await host.detach(name);
    host.applyTables([]);
  }
  expect(await lab.run('h1', 'ip', 'xfrm', 'state')).toBe('');
  expect(await lab.run('h1', 'ip', 'xfrm', 'policy')).toBe('');
});
