import { execFileSync } from 'node:child_process';
import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fillDisk } from '../storage/fill-disk.ts';
import { eventually, TestCluster } from './cluster.ts';

const WEB = 'muster/web:1';
const DISK_BYTES = 64 << 20;
const WORKER = 'h2';
let cluster: TestCluster;
let filler: string;

beforeAll(async () => {
  cluster = await TestCluster.start('fulldisk', { managers: 1, agents: 1 });
  const host = cluster.host(WORKER);
  await host.kill('agent');
  const before = `${host.dataDir}.before`;
  renameSync(host.dataDir, before);
  execFileSync('mkdir', [host.dataDir]);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', host.dataDir]);
  execFileSync('cp', ['-a', `${before}/.`, host.dataDir]);
  rmSync(before, { recursive: true });
  await host.start();
  filler = join(host.dataDir, 'filler');
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

test('a worker with a full disk stays, says why it starts nothing, ends what has to end, and goes on when there is room', async () => {
  const create = ['service', 'create', '--constraint', `node.hostname==${WORKER}`];
  await cluster.ctl('h1', 'network', 'create', 'app');
  await cluster.ctl('h1', ...create, '--name', 'web', '--replicas', '3', '--network', 'app', WEB);
  await cluster.waitRunning('web', 3);
  const { agentPid } = cluster.host(WORKER);
  fillDisk(filler);
  const [dies] = await cluster.running('web');
  process.kill(dies?.Status.ContainerStatus?.PID ?? 0, 'SIGKILL');
  await eventually('the reason to be told', async () =>
    (await cluster.docker('h1', 'service', 'ps', '--no-trunc', 'web')).includes('ENOSPC'),
  );
  await cluster.ctl('h1', 'service', 'scale', '--detach', 'web=1');
  await cluster.ctl('h1', 'network', 'create', 'other');
  await eventually('two containers to be gone', async () => {
    const left = await cluster.docker(WORKER, 'ps', '-q');
    return left.trim().split('\n').length <= 1;
  });
  expect((await cluster.nodes()).map(({ Status }) => Status.State)).toEqual(['ready', 'ready']);
  const host = cluster.host(WORKER);
  expect(host.agentPid).toBe(agentPid);
  fillDisk(filler);
  await host.kill('agent');
  await host.start();
  expect((await cluster.docker(WORKER, 'ps', '-q')).trim().split('\n')).toHaveLength(1);
  const [last] = await cluster.running('web');
  process.kill(last?.Status.ContainerStatus?.PID ?? 0, 'SIGKILL');
  await eventually('its end to be told', async () =>
    (await cluster.docker('h1', 'service', 'ps', '--no-trunc', 'web')).includes('(137)'),
  );
  rmSync(filler);
  await cluster.ctl('h1', 'service', 'scale', '--detach', 'web=4');
  await cluster.waitRunning('web', 4);
  const [tasks, ids] = [await cluster.running('web'), await cluster.docker(WORKER, 'ps', '-q')];
  expect(ids.trim().split('\n')).toHaveLength(tasks.length);
});
