import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Setup, setUp } from './setup.ts';

let setup: Setup;
beforeAll(async () => {
  setup = await setUp();
});
afterAll(async () => {
  await setup[Symbol.asyncDispose]();
});
afterEach(() => setup.become('manager'));

test('info and version show a manager', async () => {
  const { docker } = setup;
  const swarm =
    '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}} {{.Swarm.Nodes}} {{.Swarm.Managers}}';
  expect(await docker.run(['info', '--format', swarm])).toBe('active true 3 1');
  expect(await docker.run(['version', '--format', '{{.Server.APIVersion}}'])).toBe('1.50');
});

test('join tokens are shown and rotated', async () => {
  const { docker } = setup;
  const before = await docker.run(['swarm', 'join-token', '-q', 'worker']);
  expect(before).toMatch(/^SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$/);
  const manager = await docker.run(['swarm', 'join-token', '-q', 'manager']);
  const after = await docker.run(['swarm', 'join-token', '-q', '--rotate', 'worker']);
  expect(after).not.toBe(before);
  expect(await docker.run(['swarm', 'join-token', '-q', 'worker'])).toBe(after);
  expect(await docker.run(['swarm', 'join-token', '-q', 'manager'])).toBe(manager);
});

test('swarm update changes the spec, and ca shows the root', async () => {
  const { docker } = setup;
  await docker.run(['swarm', 'update', '--task-history-limit', '3']);
  const limit = '{{.Swarm.Cluster.Spec.Orchestration.TaskHistoryRetentionLimit}}';
  expect(await docker.run(['info', '--format', limit])).toBe('3');
  expect(await docker.run(['swarm', 'ca'])).toContain('BEGIN CERTIFICATE');
});

test.each([
  ['worker', "Worker nodes can't be used to view or modify cluster state."],
  ['outsider', 'Use "docker swarm init" or "docker swarm join" to connect this node to swarm'],
] as const)('on a host that is a %s, cluster commands say so', async (state, message) => {
  setup.become(state);
  for (const args of [
    ['node', 'ls'],
    ['service', 'ls'],
    ['secret', 'ls'],
    ['swarm', 'join-token', 'worker'],
  ]) {
    const refused = await setup.docker.try(args);
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toContain(message);
  }
  expect(await setup.docker.run(['network', 'ls', '-q'])).toBe('');
  expect(await setup.docker.run(['ps', '-q'])).toBe('');
});
