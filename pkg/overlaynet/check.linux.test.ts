import { afterEach, beforeEach, expect, test } from 'vitest';
import { type HostNetworkCheck, must } from '../model/index.ts';
import type { HostNetwork } from './network.ts';
import { NetworkLab } from './testing/lab.ts';
import { networkTable } from './testing/table.ts';

let lab: NetworkLab;
let hosts: readonly HostNetwork[];

const TABLE = networkTable({
  endpoints: [
    { address: '10.0.1.10', node: 1, service: 'client' },
    { address: '10.0.1.11', node: 1 },
    { address: '10.0.1.12', node: 2 },
  ],
  services: [
    { name: 'web', vip: '10.0.1.2' },
    { name: 'empty', vip: '10.0.1.3' },
  ],
  nodes: 2,
});

beforeEach(async () => {
  lab = new NetworkLab();
  hosts = await Promise.all([1, 2].map((number) => lab.host(`h${number}`, number)));
  for (const host of hosts) host.applyTables([TABLE]);
  await attach(0, 'client', '10.0.1.10');
  await attach(0, 'one', '10.0.1.11');
  await attach(1, 'two', '10.0.1.12');
});

afterEach(async () => {
  await lab.close();
});

async function attach(at: number, name: string, address: string): Promise<void> {
  await hosts[at]?.attach({
    containerId: name,
    netns: lab.namespace(name),
    name,
    hostname: name,
    overlays: [{ networkId: TABLE.networkId, address: `${address}/24` }],
  });
}

async function check(at: number): Promise<HostNetworkCheck> {
  return must(await hosts[at]?.check(TABLE.networkId), 'a check');
}

function unreached({ probes }: HostNetworkCheck): readonly string[] {
  return probes
    .filter(({ reached }) => !reached)
    .map(({ from, kind, address, reason }) => `${from} ${kind} ${address}: ${reason}`);
}

test('every container reaches every VIP and endpoint, and both hosts were told the same', async () => {
  const [one, two] = [await check(0), await check(1)];
  expect([one, two].map(({ differences, repairs }) => [differences, repairs])).toEqual([
    [[], 0],
    [[], 0],
  ]);
  expect([unreached(one), unreached(two)]).toEqual([[], []]);
  expect(one.probes).toHaveLength(2 * 5);
  expect(one.digest).toBe(two.digest);
  expect(await hosts[0]?.check('nowhere')).toBeUndefined();
});

test('what is missing in the kernel is named as the reason, and repairs are counted', async () => {
  const hub = `--net=${lab.runDir('h1')}/netns/${TABLE.networkId}`;
  const mac = '02:42:0a:00:01:0c';
  const entry = ['fdb', 'del', mac, 'dev', 'vx0', 'dst', '192.168.50.2'];
  await lab.run('h1', 'nsenter', hub, 'bridge', ...entry);
  await lab.run('one', 'nft', 'flush', 'map', 'ip', `muster-net-${TABLE.networkId}`, 'vips');
  const broken = await check(0);
  expect(broken.differences).toEqual([
    `tunnel entry ${mac} to 192.168.50.2 is missing`,
    `one: table muster-net-${TABLE.networkId} was changed`,
  ]);
  const missed = unreached(broken);
  expect(missed).toContain(
    `client endpoint 10.0.1.12: no answer within 2 s; tunnel entry ${mac} to 192.168.50.2 is missing`,
  );
  // Whoever answers is not lost while another is waited for.
  expect(missed.filter((line) => / endpoint 10\.0\.1\.1[01]:/.test(line))).toEqual([]);
  expect(missed.filter((line) => line.startsWith('one vip 10.0.1.2: '))).toHaveLength(1);
  expect((await hosts[0]?.repair())?.repairs).toBe(2);
  const again = await check(0);
  expect([again.differences, unreached(again), again.repairs]).toEqual([[], [], 1]);
});
