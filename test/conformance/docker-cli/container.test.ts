import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Setup, setUp } from './setup.ts';

let setup: Setup;
beforeAll(async () => {
  setup = await setUp();
});
afterAll(async () => {
  await setup[Symbol.asyncDispose]();
});

test('run attaches, waits and removes', async () => {
  const { docker } = setup;
  expect(await docker.run(['run', '--rm', 'busybox', 'echo', 'hello'])).toBe('hello');
  expect(await docker.run(['ps', '-aq'])).toBe('');
});

test("the end of the client's input ends the process, and its output still arrives", async () => {
  const input = 'line\n'.repeat(50_000);
  const { stdout } = await setup.docker.try(['run', '-i', '--rm', 'busybox', 'cat'], { input });
  expect(stdout).toBe(input);
});

test('exec streams both ways and gives the exit code', async () => {
  const { docker } = setup;
  await docker.run(['run', '-d', '--name', 'box', 'busybox']);
  expect(await docker.run(['exec', 'box', 'echo', 'x'])).toBe('x');
  expect(await docker.run(['exec', '-i', 'box', 'cat'], { input: 'abc' })).toBe('abc');
  expect((await docker.try(['exec', 'box', 'false'])).exitCode).toBe(1);
  await docker.run(['rm', '-f', 'box']);
});

test('ps, top, stats, logs, cp and rm work on a container', async () => {
  const { docker } = setup;
  const id = await docker.run(['create', '--name', 'box', 'busybox', 'echo', 'said']);
  await docker.run(['start', 'box']);
  expect(await docker.run(['ps', '-a', '-f', 'name=box', '--no-trunc', '-q'])).toBe(id);
  expect(await docker.run(['ps', '-a', '-f', 'status=running', '-q'])).toBe('');
  expect(await docker.run(['logs', 'box'])).toBe('said');
  expect(await docker.run(['logs', '-t', 'box'])).toBe('2023-11-14T22:13:20.000000001Z said');
  expect(await docker.run(['top', 'box'])).toContain('cat');
  expect(await docker.run(['stats', '--no-stream', '--format', '{{.PIDs}}', 'box'])).toBe('1');
  await docker.run(['cp', '/etc/hostname', 'box:/x']);
  await docker.run(['rm', 'box']);
  const gone = await docker.try(['inspect', '--type', 'container', 'box']);
  expect(gone.stderr).toContain('No such container: box');
});

test('an image that is not here is pulled, and a failed pull is told in the stream', async () => {
  const { docker } = setup;
  const failed = await docker.try(['pull', 'registry.test:5000/a/missing:1']);
  expect(failed.exitCode).toBe(1);
  expect(failed.stderr).toContain('manifest unknown');
  expect(await docker.run(['pull', '-q', 'registry.test:5000/a/b:1'])).toBe(
    'registry.test:5000/a/b:1',
  );
  expect(await docker.run(['load'], { input: 'tar' })).toContain('Loaded 3 bytes');
});

test('a registry is logged in to, and a wrong password is refused', async () => {
  const { docker } = setup;
  const login = (password: string): string[] => ['login', '-u', 'ann', '-p', password, 'r.test'];
  const refused = await docker.try(login('wrong'));
  expect(refused.exitCode).toBe(1);
  expect(refused.stderr).toContain('unauthorized: incorrect');
  expect(await docker.run(login('right'))).toContain('Login Succeeded');
});

test('events of the host and of the cluster come in one stream', async () => {
  const { docker } = setup;
  await docker.run(['config', 'create', 'one', '-'], { input: '1' });
  const until = String(Math.floor(Date.now() / 1000) + 1);
  const format = '{{.Scope}} {{.Type}} {{.Action}} {{.Actor.Attributes.name}}';
  const args = [
    'events',
    '--since',
    '1',
    '--until',
    until,
    '-f',
    'type=config',
    '--format',
    format,
  ];
  expect(await docker.run(args)).toBe('swarm config create one');
});
