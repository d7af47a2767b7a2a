import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, type NodeJson, TestCluster } from './cluster.ts';

let cluster: TestCluster;
const MANAGERS = ['h1', 'h2', 'h3'];

beforeAll(async () => {
  cluster = await TestCluster.start('ipv6hosts', { managers: 3, agents: 2, family: 'ipv6' });
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

/** Names of the tasks that answered at a URL, asked for from a host or within a task. */
async function answering(ask: () => Promise<string>, wanted: number): Promise<number> {
  const names = new Set<string>();
  await eventually(`${wanted} different answers`, async () => {
    names.add(/hello from (\S+),/.exec(await ask())?.[1] ?? 'none');
    return names.size >= wanted;
  });
  return names.size;
}

const fromHost = async (host: string): Promise<string> =>
  (await cluster.inside(host, 'wget', '-q', '-T', '5', '-O', '-', 'http://127.0.0.1:8080/')).out;

async function nodeOf(host: string, ask = 'h1'): Promise<NodeJson> {
  const all = await cluster.nodes(ask);
  const node = all.find(({ Description }) => Description.Hostname === host);
  if (!node) throw new Error(`no node ${host}`);
  return node;
}

test('addresses are told as others can use them', async () => {
  for (const host of cluster.lab.hosts) {
    expect((await cluster.inside(host.name, 'ip', '-4', '-o', 'addr', 'show', 'eth0')).out).toBe(
      '',
    );
  }
  const nodes = await cluster.nodes();
  for (const { Description, Status, ManagerStatus } of nodes) {
    const { address, role } = cluster.host(Description.Hostname);
    expect(Status.Addr).toBe(address);
    expect(ManagerStatus?.Addr).toBe(role === 'manager' ? `[${address}]:2377` : undefined);
  }
  const first = cluster.host('h1').address;
  expect(await cluster.docker('h4', 'info')).toContain(`[${first}]:2377`);
  const info = await cluster.docker('h1', 'info');
  expect(info).toContain(`Node Address: ${first}`);
  expect(await cluster.ctl('h1', 'swarm', 'join-token', 'worker')).toContain(`[${first}]:2377`);
});

test('a service is reached by its virtual IP and by its port, also after the leader was killed', async () => {
  await cluster.ctl('h1', 'network', 'create', '-d', 'overlay', 'app');
  const create = ['service', 'create', '--network', 'app'];
  await cluster.ctl(
    'h1',
    ...create,
    '--name',
    'client',
    '--constraint',
    'node.hostname == h4',
    'muster/web:1',
  );
  await cluster.ctl(
    'h1',
    ...create,
    '--name',
    'web',
    '--replicas',
    '5',
    '--publish',
    '8080:80',
    'muster/web:1',
  );
  const tasks = await cluster.waitRunning('web', 5);
  expect(new Set(tasks.map(({ NodeID }) => NodeID)).size).toBe(5);
  const [client] = await cluster.waitRunning('client', 1);
  if (!client) throw new Error('no client');
  const byName = async (ask = 'h1'): Promise<string> =>
    await cluster.execIn(client, 'wget -q -O - http://web/', ask);
  expect(await answering(byName, 5)).toBe(5);
  for (const host of ['h1', 'h5']) expect(await answering(() => fromHost(host), 5)).toBe(5);
  const link = await cluster.execIn(client, 'cat /sys/class/net/eth0/mtu');
  expect(link.trim()).toBe('1430');

  const leader = await cluster.leader('h1');
  const survivor = MANAGERS.find((host) => host !== leader) ?? '';
  await cluster.host(leader).kill('manager');
  await eventually('another leader', async () => (await cluster.leader(survivor)) !== leader);
  expect(await answering(() => byName(survivor), 5)).toBe(5);
  // What the new leader decides reaches all: a worker's power is cut, and its tasks are reached elsewhere.
  const lost = await nodeOf('h5', survivor);
  await cluster.host('h5').kill('all');
  await eventually('five tasks on the others', async () => {
    const running = await cluster.running('web', survivor);
    return running.length === 5 && running.every(({ NodeID }) => NodeID !== lost.ID);
  });
  expect(await answering(() => byName(survivor), 5)).toBe(5);
  expect(await answering(() => fromHost(leader), 5)).toBe(5);
  await cluster.host('h5').start();
  await eventually('every node to be ready', async () => {
    const nodes = await cluster.nodes(survivor);
    return (
      nodes.every(({ Status }) => Status.State === 'ready') &&
      nodes.filter(({ ManagerStatus }) => ManagerStatus?.Reachability === 'reachable').length === 3
    );
  });
  // The answer is an error until every node has acknowledged the last table and reaches everything.
  await eventually('every node to reach everything', async () => {
    const check = await cluster.tryCtl(survivor, 'network', 'check', 'app');
    return check.code === 0 && check.out.includes('network app');
  });
});

test('a host that would send containers packets by IPv4 is told so when it joins', async () => {
  const token = await cluster.ctl('h1', 'swarm', 'join-token', '-q', 'worker');
  await cluster.ctl('h4', 'swarm', 'leave');
  await cluster.inside('h4', 'ip', 'addr', 'add', '172.30.0.14/24', 'dev', 'eth0');
  const remote = `[${cluster.host('h1').address}]:2377`;
  const join = ['swarm', 'join', '--token', token.trim(), remote];
  const refused = await cluster.tryCtl('h4', ...join, '--advertise-addr', '172.30.0.14');
  expect(refused.code).toBe(1);
  expect(refused.err).toContain('by IPv6 (h');
  expect(refused.err).toContain(
    'by IPv4 (172.30.0.14) - give it an IPv6 address with --data-path-addr',
  );
  const both = ['--advertise-addr', '172.30.0.14', '--data-path-addr', cluster.host('h4').address];
  expect(await cluster.ctl('h4', ...join, ...both)).toContain('as a worker');
  await eventually('it to be ready', async () => {
    const here = (await cluster.nodes()).filter(({ Description }) => Description.Hostname === 'h4');
    return here.some(
      ({ Status }) => Status.State === 'ready' && Status.Addr === cluster.host('h4').address,
    );
  });
});
