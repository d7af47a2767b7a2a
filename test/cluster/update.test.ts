import { resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, TestCluster } from './cluster.ts';

const LOAD = resolve(import.meta.dirname, 'load.mjs');
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start('update');
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

interface LoadResult {
  readonly requests: number;
  readonly failed: number;
  readonly errors: readonly string[];
  readonly versions: Readonly<Record<string, number>>;
}

test('scaling and a rolling update under new and kept connections lose no request', async () => {
  await cluster.ctl(
    'h1',
    'service',
    'create',
    '--name',
    'web',
    '--replicas',
    '3',
    '--publish',
    '8080:80',
    '--update-parallelism',
    '2',
    '--update-monitor',
    '1s',
    'muster/web:1',
  );
  const load = cluster.background(
    'h4',
    process.execPath,
    LOAD,
    `http://${cluster.host('h2').address}:8080/`,
    '8',
  );
  await cluster.ctl('h1', 'service', 'scale', 'web=6');
  await cluster.waitRunning('web', 6);
  await cluster.ctl('h1', 'service', 'update', '--image', 'muster/web:2', 'web');
  await cluster.ctl('h1', 'service', 'scale', 'web=2');
  await cluster.waitRunning('web', 2);
  load.stop();
  const { out } = await load.done;
  const result = JSON.parse(out) as LoadResult;
  expect(result.errors).toEqual([]);
  expect(result.failed).toBe(0);
  expect(result.requests).toBeGreaterThan(200);
  expect(Object.keys(result.versions).toSorted()).toEqual(['1', '2']);
  const images = (await cluster.running('web')).map((task) => task.Spec.ContainerSpec?.Image);
  expect(new Set(images)).toEqual(new Set(['muster/web:2']));
  await cluster.ctl('h1', 'service', 'rm', 'web');
});

test('an update whose tasks fail rolls back by itself when asked to, and says why', async () => {
  await cluster.ctl(
    'h1',
    'service',
    'create',
    '--name',
    'careful',
    '--replicas',
    '2',
    '--restart-delay',
    '0s',
    '--update-failure-action',
    'rollback',
    '--update-monitor',
    '2s',
    '--rollback-monitor',
    '1s',
    'muster/web:1',
  );
  const done = await cluster.tryCtl(
    'h1',
    'service',
    'update',
    '--env-add',
    'WEB_FAIL=start',
    'careful',
  );
  expect(done.code).toBe(1);
  expect(done.err + done.out).toContain('rolled back due to failure or early termination of task');
  await eventually('two tasks of the old version', async () => {
    const service = await cluster.api<{ UpdateStatus: { State: string } }>(
      'h1',
      'GET',
      '/services/careful',
    );
    return (
      service.UpdateStatus.State === 'rollback_completed' &&
      (await cluster.running('careful')).length === 2
    );
  });
  expect(await cluster.ctl('h1', 'service', 'ps', 'careful')).toContain('task: non-zero exit (1)');
  await cluster.ctl('h1', 'service', 'rm', 'careful');
});

test('otherwise it pauses, and a manual rollback mends it', async () => {
  await cluster.ctl(
    'h1',
    'service',
    'create',
    '--name',
    'plain',
    '--replicas',
    '2',
    '--restart-delay',
    '0s',
    '--update-monitor',
    '2s',
    'muster/web:1',
  );
  const done = await cluster.tryCtl(
    'h1',
    'service',
    'update',
    '--env-add',
    'WEB_FAIL=start',
    'plain',
  );
  expect(done.code).toBe(1);
  expect(done.err + done.out).toContain(
    'update paused due to failure or early termination of task',
  );
  await cluster.ctl('h1', 'service', 'rollback', 'plain');
  const tasks = await cluster.waitRunning('plain', 2);
  expect(tasks).toHaveLength(2);
  await cluster.ctl('h1', 'service', 'rm', 'plain');
});
