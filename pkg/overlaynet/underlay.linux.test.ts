import { afterEach, beforeEach, expect, test } from 'vitest';
import { NetworkNamespace, readChecksumOffload } from 'vxlan-netlink';
import type { Logger } from '../io/index.ts';
import type { NetworkTable } from '../model/index.ts';
import type { HostNetwork } from './network.ts';
import { pseudoHeaderSum } from './testing/checksum.ts';
import { NetworkLab } from './testing/lab.ts';
import { networkTable } from './testing/table.ts';

const TABLE = networkTable({
  endpoints: [
    { address: '10.0.1.10', node: 1 },
    { address: '10.0.1.11', node: 2 },
  ],
  nodes: 2,
});
const OWN_MTU: NetworkTable = {
  ...networkTable({ name: 'wide', vni: 4098, subnet: '10.0.2.0/24', endpoints: [], nodes: 2 }),
  mtu: 1450,
};
const FOUND_WITHIN = { timeout: 30_000 };
let lab: NetworkLab;
const warnings: string[] = [];
const log = {
  debug: () => undefined,
  info: () => undefined,
  warn: (said: string) => warnings.push(said),
  error: (said: string) => warnings.push(said),
} as unknown as Logger;

beforeEach(() => {
  lab = new NetworkLab();
  warnings.length = 0;
});

afterEach(async () => {
  await lab.close();
});

/** A host with one container on the network. */
async function hostWith(name: string, number: number): Promise<HostNetwork> {
  const host = await lab.host(`h${number}`, number, { log });
  host.applyTables([TABLE, OWN_MTU]);
  await host.attach({
    containerId: name,
    netns: lab.namespace(name),
    name,
    hostname: name,
    overlays: [{ networkId: TABLE.networkId, address: `10.0.1.${9 + number}/24` }],
  });
  return host;
}

const mtuOf = async (name: string): Promise<number> =>
  Number(/mtu (\d+)/.exec(await lab.run(name, 'ip', 'link', 'show', 'eth0'))?.[1]);
const setPort = (mtu: number): Promise<string> =>
  lab.run('switch', 'ip', 'link', 'set', 'p-h2', 'mtu', String(mtu));

test('where a switch loses packets that the links take, overlays use smaller ones, and larger ones when it is mended', async () => {
  lab.machine('h1', 1);
  lab.machine('h2', 2);
  await setPort(1400);
  const one = await hostWith('near', 1);
  await hostWith('far', 2);
  // A port takes the four bytes of a VLAN tag more than it says.
  for (const name of ['near', 'far']) {
    await expect.poll(() => mtuOf(name), FOUND_WITHIN).toBeLessThanOrEqual(1354);
    expect(await mtuOf(name)).toBeGreaterThan(1330);
  }
  // More than fits: in two pieces.
  await lab.run('near', 'busybox', 'ping', '-c1', '-W2', '-s', '2000', '10.0.1.11');
  expect((await one.repair()).repairs).toBe(0);
  expect(warnings.some((said) => said.includes('does not fit'))).toBe(true);

  await one.dispose();
  await setPort(1500);
  const next = await lab.host('h1', 1, { log });
  next.applyTables([TABLE, OWN_MTU]);
  await next.readopt(new Map([['near', lab.pin('near')]]));
  await expect.poll(() => mtuOf('near'), FOUND_WITHIN).toBe(1450);
});

/** A network of two hosts for the mesh. */
const MESH = networkTable({
  name: 'ingress',
  ingress: true,
  subnet: '10.0.0.0/24',
  endpoints: [],
  nodes: 2,
});

test('where a card spoils the checksums within tunnels, they are complete before they come to it', async () => {
  lab.machine('h1', 1);
  lab.machine('h2', 2);
  // What h2 gets of handshakes that were left to the card of h1: nothing. Outer UDP and VXLAN headers, inner Ethernet and IP.
  const left = pseudoHeaderSum('10.0.0.201', '10.0.0.202', 40);
  await lab.run(
    'h2',
    'nft',
    'add table ip card; add chain ip card in { type filter hook prerouting priority -400; }',
  );
  await lab.run('h2', 'nft', `add rule ip card in udp dport 4789 @th,528,16 ${left} counter drop`);
  const two = await lab.host('h2', 2, { log });
  two.applyTables([MESH, TABLE]);
  const one = await lab.host('h1', 1, { log });
  one.applyTables([MESH, TABLE]);
  await expect
    .poll(() => warnings, FOUND_WITHIN)
    .toContainEqual(expect.stringContaining('bad checksums'));
  const offload = (...networks: readonly string[]): readonly boolean[] =>
    networks.map((network) => {
      using hub = NetworkNamespace.open(`${lab.runDir('h1')}/netns/${network}`);
      return hub.run(() => readChecksumOffload('vx0'));
    });
  expect(offload('ingress-id', 'app-id')).toEqual([false, false]);
  expect(await lab.ask('h1', { host: '10.0.0.202', port: 9 })).toEqual({ ECONNREFUSED: 1 });
  // The other direction is another card.
  expect(warnings).toHaveLength(1);

  // The next agent knows it, for networks that it makes too.
  await one.dispose();
  const next = await lab.host('h1', 1, { log });
  next.applyTables([MESH, TABLE, OWN_MTU]);
  expect(offload('app-id', 'wide-id')).toEqual([false, false]);
});
