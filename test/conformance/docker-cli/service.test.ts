import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Setup, setUp } from './setup.ts';

let setup: Setup;
beforeAll(async () => {
  setup = await setUp();
});
afterAll(async () => {
  await setup[Symbol.asyncDispose]();
});

const QUICK = ['--no-resolve-image', '--update-monitor', '300ms'];

test('service create converges, and ls, ps and inspect show it', async () => {
  const { docker } = setup;
  const created = await docker.try([
    'service',
    'create',
    ...QUICK,
    '--name',
    'web',
    '--replicas',
    '3',
    'busybox',
    'sleep',
    '9',
  ]);
  expect(created).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('converged') });
  expect(
    await docker.run(['service', 'ls', '--format', '{{.Name}} {{.Mode}} {{.Replicas}} {{.Image}}']),
  ).toBe('web replicated 3/3 busybox:latest');
  const tasks = await docker.run([
    'service',
    'ps',
    'web',
    '--format',
    '{{.Name}} {{.Node}} {{.DesiredState}} {{.CurrentState}}',
  ]);
  expect(
    tasks
      .split('\n')
      .toSorted()
      .map((line) => line.split(' ')[0]),
  ).toEqual(['web.1', 'web.2', 'web.3']);
  const [inspected] = (await docker.json(['service', 'inspect', 'web'])) as [Record<string, never>];
  expect(inspected).toMatchObject({
    Spec: { Name: 'web', UpdateConfig: { Parallelism: 1, Order: 'stop-first' } },
  });
  expect(await docker.run(['service', 'inspect', '--pretty', 'web'])).toContain('Replicas:');
});
