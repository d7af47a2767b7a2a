/** A worker whose disk is full. */
import { execFileSync } from 'node:child_process';
import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { fillDisk } from '../storage/fill-disk.ts';
import { eventually, TestCluster } from './cluster.ts';

const WEB = 'muster/web:1';
const WORKER = 'h2';
let cluster: TestCluster | undefined;

afterEach(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

function mountDisk(folder: string, mebibytes: number): void {
  execFileSync('mkdir', ['-p', folder]);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder]);
}

test('the disk with its data', async () => {
  cluster = await TestCluster.start('fulldisk', { managers: 1, agents: 1 });
  const host = cluster.host(WORKER);
  await host.kill('agent');
  const before = `${host.dataDir}.before`;
  renameSync(host.dataDir, before);
  mountDisk(host.dataDir, 64);
  execFileSync('cp', ['-a', `${before}/.`, host.dataDir]);
  rmSync(before, { recursive: true });
  await host.start();
  await live(cluster, join(host.dataDir, 'filler'));
});

test('the file system with what runs', async () => {
  mountDisk(`/run/muster/fullrun/${WORKER}`, 2);
  cluster = await TestCluster.start('fullrun', { managers: 1, agents: 1 });
  await live(cluster, join(cluster.host(WORKER).runDir, 'filler'));
});

/** With no room where `filler` is the worker stays, says why it starts nothing, ends what has to end; later it goes on. */
async function live(cluster: TestCluster, filler: string): Promise<void> {
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
}
