import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, type NodeJson, TestCluster } from './cluster.ts';

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start('alone', { managers: 3, agents: 1 });
  await cluster.ctl('h1', 'service', 'create', '--name', 'web', '--replicas', '4', 'muster/web:1');
  await cluster.api('h1', 'POST', '/configs/create', { Name: 'before', Data: 'eA==' });
  await cluster.waitRunning('web', 4);
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

async function node(name: string): Promise<NodeJson & { readonly Spec: { Role: string } }> {
  const all = (await cluster.nodes('h1')) as (NodeJson & { readonly Spec: { Role: string } })[];
  const found = all.filter((each) => each.Description.Hostname === name).at(-1);
  if (!found) throw new Error(`no node ${name}`);
  return found;
}

const LOST = /quorum lost: 1 of 3 managers reachable.*docker swarm init --force-new-cluster/;

/** The answer, which must not be waited for. */
async function answerAtOnce(
  method: 'GET' | 'POST',
  path: string,
  body?: unknown,
): Promise<Awaited<ReturnType<TestCluster['apiStatus']>>> {
  const begun = performance.now();
  const answer = await cluster.apiStatus('h1', method, path, body);
  expect(performance.now() - begun).toBeLessThan(3_000);
  return answer;
}

test('a write that was on its way when the quorum went silent is of unknown outcome, and says so in time', async () => {
  for (const name of ['h2', 'h3']) cluster.host(name).freeze('manager', 'SIGSTOP');
  try {
    const body = { Name: 'unknown', Data: 'eA==' };
    const answer = await answerAtOnce('POST', '/configs/create', body);
    expect(answer.status).toBe(504);
    expect(answer.message).toContain('may still take effect');
    expect(answer.message).toMatch(LOST);
  } finally {
    for (const name of ['h2', 'h3']) cluster.host(name).freeze('manager', 'SIGCONT');
  }
  await eventually('a write with all of them back', async () => {
    await cluster.api('h1', 'POST', '/configs/create', { Name: 'back', Data: 'eA==' });
    return true;
  });
});

test('without a quorum every command is refused at once: who is missing, and what to run', async () => {
  await Promise.all(['h2', 'h3'].map((host) => cluster.host(host).kill('all')));
  const read = await answerAtOnce('GET', '/services');
  // This manager may still be the leader now, but knows that it reaches nobody.
  const written = await answerAtOnce('POST', '/configs/create', { Name: 'lost', Data: 'eA==' });
  for (const answer of [read, written]) {
    expect(answer.status).toBe(503);
    expect(answer.message).toMatch(LOST);
  }
});

test('the survivor goes on alone: what was there is there, writes and tasks work', async () => {
  const out = await cluster.docker('h1', 'swarm', 'init', '--force-new-cluster');
  expect(out).toContain('is now a manager');
  expect(await cluster.ctl('h1', 'config', 'ls')).toContain('before');
  await cluster.api('h1', 'POST', '/configs/create', { Name: 'lost', Data: 'eA==' });
  for (const name of ['h2', 'h3']) {
    const lost = await node(name);
    expect(lost.Spec.Role).toBe('worker');
    expect(lost.ManagerStatus).toBeUndefined();
    expect(lost.Status.State).toBe('down');
  }
  const tasks = await cluster.waitRunning('web', 4);
  for (const task of tasks) expect(['h1', 'h4']).toContain(await cluster.hostOf(task));
  await cluster.ctl('h1', 'service', 'scale', 'web=6');
  await cluster.waitRunning('web', 6);
});

test('it keeps the files of before, and no key of the root beside the log', () => {
  const folder = join(cluster.host('h1').dataDir, 'manager');
  expect(readdirSync(folder).filter((name) => name.startsWith('raft.before-'))).toHaveLength(1);
  expect(existsSync(join(folder, 'raft.alone'))).toBe(false);
  expect(readFileSync(join(folder, 'begin.json'), 'utf8')).not.toContain('PRIVATE KEY');
});

test('asked again, it does the same again', async () => {
  await cluster.ctl('h1', 'swarm', 'init', '--force-new-cluster');
  expect(await cluster.ctl('h1', 'config', 'ls')).toMatch(/before[\s\S]*lost|lost[\s\S]*before/);
  await cluster.waitRunning('web', 6);
});

test('lost managers that come back do not disturb: they are told, and go on as workers', async () => {
  await Promise.all(['h2', 'h3'].map((host) => cluster.host(host).start()));
  await eventually('h2 and h3 to be workers that are ready', async () => {
    const back = await Promise.all(['h2', 'h3'].map((name) => node(name)));
    return back.every((each) => each.Status.State === 'ready');
  });
  await cluster.api('h1', 'POST', '/configs/create', { Name: 'after', Data: 'eA==' });
  expect((await node('h1')).ManagerStatus?.Leader).toBe(true);
  await eventually('h2 to answer as a worker', async () => {
    const answer = await cluster.apiStatus('h2', 'GET', '/services');
    return answer.status === 503 && answer.message.includes('Worker nodes');
  });
});

test('one of them leaves and joins as a manager; the other is promoted', async () => {
  await cluster.ctl('h2', 'swarm', 'leave', '--force');
  const token = (await cluster.ctl('h1', 'swarm', 'join-token', '-q', 'manager')).trim();
  await cluster.ctl('h2', 'swarm', 'join', '--token', token, cluster.host('h1').address);
  await cluster.ctl('h1', 'node', 'promote', (await node('h3')).ID);
  await eventually('three reachable managers', async () => {
    const nodes = await cluster.nodes('h2');
    return nodes.filter((each) => each.ManagerStatus?.Reachability === 'reachable').length === 3;
  });
  await cluster.host('h1').kill('manager');
  await eventually('a write without h1', async () => {
    await cluster.api('h2', 'POST', '/configs/create', { Name: 'last', Data: 'eA==' });
    return true;
  });
});
