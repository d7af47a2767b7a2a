import { afterAll, beforeAll, expect, test } from 'vitest';
import { changeUnderLoad, lostNodes } from './change-under-load.ts';
import { eventually, TestCluster } from './cluster.ts';
import { runRollout } from './rollout.ts';
import { nameOf, ROLLOUTS, type Rollout } from './rollouts.ts';

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start('update');
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

// `test/soak/zero-loss.ts` does it for half an hour, and says when a request was lost.
test('updates, scaling, a drain and a pause lose no request and no datagram', async () => {
  const acts: string[] = [];
  const onChange = (what: string): void => {
    acts.push(`${new Date().toISOString()} ${what}`);
  };
  const options = { forMs: 0, workers: 4, pauseMs: 10, drained: 'h6', onChange };
  const before = lostNodes(cluster).length;
  let { changes, clients } = await changeUnderLoad(cluster, options);
  // A host that gets no processor for three seconds counts as down, and nothing is promised then.
  const lost = Object.values(clients).some(({ failed }) => failed > 0);
  if (lost && lostNodes(cluster).length > before) {
    ({ changes, clients } = await changeUnderLoad(cluster, options));
  }
  expect(changes['update to 1']).toBe(1);
  for (const [name, { errors, failed, requests, versions }] of Object.entries(clients)) {
    expect({ name, errors, failed }, acts.join('\n')).toEqual({ name, errors: [], failed: 0 });
    expect(requests).toBeGreaterThan(100);
    expect(Object.keys(versions).toSorted()).toEqual(['1', '2']);
  }
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

const ROLLOUTS_HERE = ROLLOUTS.filter(({ inTests }) => inTests);

// `test/soak/rollouts.ts` runs all twenty.
test.each(ROLLOUTS_HERE.map((rollout): [string, Rollout] => [nameOf(rollout), rollout]))(
  'the leader is killed in the middle: %s',
  async (_name, rollout) => {
    const { problems, story } = await runRollout(cluster, rollout);
    expect(problems, story.join('\n')).toEqual([]);
  },
);
