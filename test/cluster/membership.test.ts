import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, type NodeJson, TestCluster } from './cluster.ts';

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start('members', { managers: 3, agents: 1 });
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

async function node(name: string, ask: string): Promise<NodeJson | undefined> {
  return (await cluster.nodes(ask)).find((each) => each.Description.Hostname === name);
}

async function managers(ask: string): Promise<readonly string[]> {
  const reachable = (await cluster.nodes(ask)).filter(
    (each) => each.ManagerStatus?.Reachability === 'reachable',
  );
  return reachable.map((each) => each.Description.Hostname).toSorted();
}

test('a worker is promoted: it takes part in the group and answers for the cluster', async () => {
  await cluster.ctl('h1', 'service', 'create', '--name', 'web', '--replicas', '4', 'muster/web:1');
  const before = await cluster.docker('h4', 'ps', '-q');
  await cluster.ctl('h1', 'node', 'promote', 'h4');
  await eventually('four managers', async () => (await managers('h1')).length === 4);
  await eventually('h4 to answer', async () =>
    (await cluster.ctl('h4', 'node', 'ls')).includes('h4'),
  );
  expect(await cluster.docker('h4', 'ps', '-q')).toBe(before);
});

test('the leader is demoted: another one leads, and it goes on as a worker', async () => {
  const leader = await cluster.leader('h4');
  const ask = ['h1', 'h2', 'h3', 'h4'].find((host) => host !== leader) ?? '';
  await cluster.ctl(ask, 'node', 'demote', leader);
  await eventually('three managers', async () => {
    const left = await managers(ask);
    return left.length === 3 && !left.includes(leader);
  });
  await eventually(`${leader} to be a worker`, async () => {
    const answer = await cluster.apiStatus(leader, 'GET', '/services');
    return answer.status === 503 && (await node(leader, ask))?.Status.State === 'ready';
  });
  await cluster.ctl(ask, 'config', 'create', 'after', '/etc/hostname');
  await cluster.waitRunning('web', 4, ask);
});

test('a host leaves, is removed from the list, and joins again as somebody new', async () => {
  const ask =
    (
      await managers(
        await cluster.nodes('h4').then(
          () => 'h4',
          () => 'h1',
        ),
      )
    )[0] ?? '';
  const leaving = (await managers(ask)).find((host) => host !== ask) ?? '';
  const former = (await node(leaving, ask))?.ID ?? '';
  const refused = await cluster.tryCtl(leaving, 'swarm', 'leave');
  expect(refused.err).toContain('participating as a manager');
  await cluster.ctl(leaving, 'swarm', 'leave', '--force');
  expect(await cluster.docker(leaving, 'ps', '-aq')).toBe('');
  await eventually(
    `${leaving} to be down`,
    async () => (await node(leaving, ask))?.Status.State === 'down',
  );
  await cluster.ctl(ask, 'node', 'rm', former);
  await cluster.waitRunning('web', 4, ask);
  const token = (await cluster.ctl(ask, 'swarm', 'join-token', '-q', 'worker')).trim();
  await cluster.ctl(
    leaving,
    'swarm',
    'join',
    '--token',
    token,
    `${cluster.host(ask).address}:2377`,
  );
  await eventually(
    `${leaving} to be ready`,
    async () => (await node(leaving, ask))?.Status.State === 'ready',
  );
});

test('a token that was rotated is worth nothing any more', async () => {
  const ask = (await managers('h4').catch(() => managers('h1')))[0] ?? '';
  const worker =
    (await cluster.nodes(ask)).find((each) => each.ManagerStatus === undefined)?.Description
      .Hostname ?? '';
  const old = (await cluster.ctl(ask, 'swarm', 'join-token', '-q', 'worker')).trim();
  await cluster.ctl(ask, 'swarm', 'join-token', '-q', '--rotate', 'worker');
  await cluster.ctl(worker, 'swarm', 'leave');
  const refused = await cluster.tryCtl(
    worker,
    'swarm',
    'join',
    '--token',
    old,
    `${cluster.host(ask).address}:2377`,
  );
  expect(refused.err).toContain('A valid join token is necessary');
});
