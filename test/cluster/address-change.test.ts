import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Host } from '../../deploy/lab/host.ts';
import { eventually, type NodeJson, TestCluster } from './cluster.ts';

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start('moved', { managers: 3, agents: 1 });
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

const MANAGERS = ['h1', 'h2', 'h3'] as const;

/** The hosts are switched off and come back under other addresses. */
async function move(
  addresses: Readonly<Record<string, string>>,
  options: (host: Host) => readonly string[] = () => [],
): Promise<void> {
  const hosts = Object.keys(addresses).map((name) => cluster.host(name));
  await Promise.all(hosts.map((host) => host.kill('all')));
  cluster.lab.readdress(new Map(hosts.map((host) => [host, addresses[host.name] ?? ''])));
  await Promise.all(hosts.map((host) => host.start(options(host))));
}

function addressesOf(nodes: readonly NodeJson[]): readonly (string | undefined)[] {
  const named = nodes.toSorted((left, right) =>
    left.Description.Hostname < right.Description.Hostname ? -1 : 1,
  );
  return named.map(({ Status, ManagerStatus }) => ManagerStatus?.Addr ?? Status.Addr);
}

/** Every manager answers and names these addresses of all, and all nodes are ready. */
async function agreeOn(...addresses: readonly string[]): Promise<void> {
  const wanted = addresses.map((address, index) => (index < 3 ? `${address}:2377` : address));
  let seen: readonly unknown[] = [];
  await eventually(`every manager to name ${wanted.join(', ')}`, async () => {
    const answers = await Promise.all(MANAGERS.map((name) => cluster.nodes(name)));
    seen = answers.map(addressesOf);
    return answers.every(
      (nodes) =>
        addressesOf(nodes).join() === wanted.join() &&
        nodes.every(({ Status }) => Status.State === 'ready') &&
        nodes.every(({ ManagerStatus }) => ManagerStatus?.Reachability !== 'unreachable'),
    );
  }).catch((error: unknown) => {
    throw new Error(`seen: ${JSON.stringify(seen)}`, { cause: error });
  });
}

/** Each task of the service answers each host's port, so packets find the way between all hosts. */
async function served(hosts: readonly string[]): Promise<void> {
  await cluster.waitRunning('web', 4);
  for (const name of hosts) {
    const seen = new Set<string>();
    await eventually(`all four tasks of web on ${name}`, async () => {
      const url = `http://${cluster.host(name).address}:8080/`;
      const { out } = await cluster.inside(name, 'busybox', 'wget', '-q', '-O', '-', url);
      seen.add(out.split('\n')[0] ?? '');
      return seen.size === 4;
    });
  }
}

test('a host that comes back under another address is where the others look for it, the leader as well', async () => {
  const service = ['--name', 'web', '--mode', 'global', '-p', '8080:80', 'muster/web:1'];
  await cluster.ctl('h1', 'service', 'create', ...service);
  await served(['h1', 'h4']);
  const leader = await cluster.leader('h1');
  const follower = MANAGERS.find((name) => name !== leader) ?? '';
  const now = new Map(cluster.lab.hosts.map((host) => [host.name, host.address]));
  for (const moved of [
    { [follower]: '172.30.0.101', h4: '172.30.0.103' },
    { [leader]: '172.30.0.102' },
  ]) {
    await move(moved);
    for (const [name, address] of Object.entries(moved)) now.set(name, address);
    await agreeOn(...now.values());
  }
  await served(['h1', 'h4']);
  const { out } = await cluster.inside('h4', 'cat', `${cluster.host('h4').dataDir}/node.json`);
  for (const name of MANAGERS) expect(out).toContain(`${now.get(name)}:2377`);
});

test('managers that all moved say what is wrong, and find each other when one is told where they are', async () => {
  const [h1 = '', h2 = '', h3 = '', h4 = ''] = [1, 2, 3, 4].map((last) => `172.30.0.20${last}`);
  await move({ h1, h2, h3, h4 });
  const refused = await cluster.tryCtl('h1', 'service', 'ls');
  expect(refused.err).toContain('quorum lost: 1 of 3 managers reachable');
  expect(refused.err).toContain('start this agent with --managers');
  for (const name of ['h1', 'h4']) {
    await cluster.host(name).stop();
    await cluster.host(name).start(['--managers', `${h2}:2377,${h3}:2377`]);
  }
  await agreeOn(h1, h2, h3, h4);
  await served(MANAGERS);
});

test('a manager that was told a link follows its address while it runs', async () => {
  const [h1 = '', h2 = '', h3 = '', h4 = ''] = cluster.lab.hosts.map(({ address }) => address);
  const host = cluster.host('h1');
  // The list of the test before is not needed any more: that is written now.
  await host.stop();
  await host.start(['--advertise-address', 'eth0']);
  await agreeOn(h1, h2, h3, h4);
  cluster.lab.readdress(new Map([[host, '172.30.0.77']]));
  await agreeOn('172.30.0.77', h2, h3, h4);
  await served(['h1', 'h3']);
});
