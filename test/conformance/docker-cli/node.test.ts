import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Setup, setUp } from './setup.ts';

let setup: Setup;
beforeAll(async () => {
  setup = await setUp();
});
afterAll(async () => {
  await setup[Symbol.asyncDispose]();
});

test('node ls shows the leader and this node', async () => {
  const format = '{{.Hostname}} {{.Status}} {{.Availability}} {{.ManagerStatus}} {{.Self}}';
  const nodes = (await setup.docker.run(['node', 'ls', '--format', format])).split('\n');
  expect(nodes.toSorted()).toEqual([
    'm1 Ready Active Leader true',
    'w1 Ready Active  false',
    'w2 Ready Active  false',
  ]);
});

test('labels, availability and role are changed and shown', async () => {
  const { docker } = setup;
  await docker.run(['node', 'update', '--label-add', 'zone=a', '--availability', 'drain', 'w1']);
  const spec = '{{.Spec.Labels.zone}} {{.Spec.Availability}} {{.Spec.Role}}';
  expect(await docker.run(['node', 'inspect', 'w1', '--format', spec])).toBe('a drain worker');
  expect(
    await docker.run(['node', 'ls', '-f', 'node.label=zone=a', '--format', '{{.Hostname}}']),
  ).toBe('w1');
  await docker.run(['node', 'promote', 'w1']);
  expect(await docker.run(['node', 'ls', '-f', 'role=manager', '-q'])).toContain('\n');
  await docker.run(['node', 'demote', 'w1']);
  await docker.run(['node', 'update', '--availability', 'active', 'w1']);
});

test('node ps shows what runs there', async () => {
  const { docker } = setup;
  const constraint = ['--constraint', 'node.hostname==w2'];
  await docker.run([
    'service',
    'create',
    '--no-resolve-image',
    '-d',
    '--name',
    'web',
    ...constraint,
    'busybox',
  ]);
  await expect.poll(() => docker.run(['node', 'ps', 'w2', '--format', '{{.Name}}'])).toBe('web.1');
  await docker.run(['service', 'rm', 'web']);
});

test('self is this node', async () => {
  const { docker, cluster } = setup;
  expect(await docker.run(['node', 'inspect', 'self', '--format', '{{.ID}}'])).toBe(cluster.nodeId);
  expect(await docker.run(['node', 'inspect', '--pretty', 'self'])).toContain('Hostname:');
});

test.each([
  [['node', 'demote', 'm1'], 'attempting to demote the last manager of the swarm'],
  [['node', 'rm', 'm1'], 'It must be demoted to worker before removal'],
  [['node', 'rm', 'w2'], "is not down and can't be removed"],
  [['node', 'inspect', 'nobody'], 'node nobody not found'],
])('docker %j is refused', async (args, message) => {
  const refused = await setup.docker.try(args);
  expect(refused.exitCode).toBe(1);
  expect(refused.stderr).toContain(message);
});

test('a removed node is gone', async () => {
  const { docker } = setup;
  await docker.run(['node', 'rm', '--force', 'w2']);
  expect((await docker.run(['node', 'ls', '-q'])).split('\n')).toHaveLength(2);
});
