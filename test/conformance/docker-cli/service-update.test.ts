import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { BROKEN_IMAGE } from './live-cluster.ts';
import { type Setup, setUp } from './setup.ts';

let setup: Setup;
beforeAll(async () => {
  setup = await setUp();
});
afterAll(async () => {
  await setup[Symbol.asyncDispose]();
});
beforeEach(async () => {
  const options = [
    '--no-resolve-image',
    '--update-monitor',
    '300ms',
    '--rollback-monitor',
    '300ms',
  ];
  await setup.docker.run([
    'service',
    'create',
    ...options,
    '--name',
    'web',
    '--replicas',
    '2',
    'busybox:1',
  ]);
});
afterEach(async () => {
  await setup.docker.run(['service', 'rm', 'web']);
});

const taskIds = async (): Promise<readonly string[]> => {
  const ids = await setup.docker.run(['service', 'ps', 'web', '-q', '-f', 'desired-state=running']);
  return ids.split('\n').toSorted();
};
const inspect = (format: string): Promise<string> =>
  setup.docker.run(['service', 'inspect', 'web', '--format', format]);

test('scale adds tasks and keeps those that run', async () => {
  const before = await taskIds();
  expect(await setup.docker.run(['service', 'scale', 'web=4'])).toContain('converged');
  const after = await taskIds();
  expect(after).toHaveLength(4);
  expect(after).toEqual(expect.arrayContaining([...before]));
});

test('a new image replaces every task, rollback brings the old one back', async () => {
  const { docker } = setup;
  const before = await taskIds();
  const update = ['service', 'update', '--no-resolve-image', '--image', 'busybox:2', 'web'];
  expect(await docker.run(update)).toContain('converged');
  expect(await inspect('{{.Spec.TaskTemplate.ContainerSpec.Image}}')).toBe('busybox:2');
  expect((await taskIds()).filter((id) => before.includes(id))).toEqual([]);
  expect(await docker.run(['service', 'rollback', 'web'])).toContain('converged');
  expect(await inspect('{{.Spec.TaskTemplate.ContainerSpec.Image}}')).toBe('busybox:1');
});

test('labels and update settings restart nothing', async () => {
  const before = await taskIds();
  await setup.docker.run(['service', 'update', '--label-add', 'a=b', 'web']);
  await setup.docker.run(['service', 'update', '--update-parallelism', '7', 'web']);
  expect(await inspect('{{.Spec.Labels.a}} {{.Spec.UpdateConfig.Parallelism}}')).toBe('b 7');
  expect(await taskIds()).toEqual(before);
});

test('a forced update replaces the tasks of an unchanged spec', async () => {
  const before = await taskIds();
  await setup.docker.run(['service', 'update', '--force', 'web']);
  expect((await taskIds()).filter((id) => before.includes(id))).toEqual([]);
});

test('an update to a failing image pauses and says which task failed', async () => {
  const update = ['service', 'update', '--no-resolve-image', '--image', BROKEN_IMAGE, 'web'];
  const { exitCode, stderr, stdout } = await setup.docker.try(update);
  expect(exitCode).toBe(1);
  expect(stderr + stdout).toContain('update paused due to failure or early termination of task');
  expect(await setup.docker.run(['service', 'ps', 'web', '--no-trunc'])).toContain(
    'task: non-zero exit (1)',
  );
});

test('an update to a failing image rolls back when asked to', async () => {
  const options = ['--no-resolve-image', '--update-failure-action', 'rollback'];
  const update = ['service', 'update', ...options, '--image', BROKEN_IMAGE, 'web'];
  expect(await setup.docker.run(update)).toContain('rolling back update');
  expect(await inspect('{{.Spec.TaskTemplate.ContainerSpec.Image}}')).toBe('busybox:1');
  expect(await setup.docker.run(['service', 'ls', '--format', '{{.Replicas}}'])).toBe('2/2');
});

test('rollback without a previous spec is refused', async () => {
  const { stderr } = await setup.docker.try(['service', 'rollback', 'web']);
  expect(stderr).toContain('does not have a previous spec');
});

test('updates in quick succession do not race with status writes', async () => {
  for (const value of ['1', '2', '3']) {
    const update = setup.docker.run(['service', 'update', '-d', '--env-add', `N=${value}`, 'web']);
    setup.cluster.touchService('web');
    await update;
    setup.cluster.touchService('web');
  }
  expect(await inspect('{{.Spec.TaskTemplate.ContainerSpec.Env}}')).toBe('[N=3]');
});
