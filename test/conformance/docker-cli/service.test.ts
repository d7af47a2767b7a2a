import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Setup, setUp } from './setup.ts';

let setup: Setup;
beforeAll(async () => {
  setup = await setUp();
});
afterAll(async () => {
  await setup[Symbol.asyncDispose]();
});
afterEach(async () => {
  const ids = await setup.docker.run(['service', 'ls', '-q']);
  if (ids !== '') await setup.docker.run(['service', 'rm', ...ids.split('\n')]);
});

const CREATE = ['service', 'create', '--no-resolve-image', '--update-monitor', '300ms'];

test('service create converges, and ls, ps and inspect show it', async () => {
  const { docker } = setup;
  const args = [...CREATE, '--name', 'web', '--replicas', '3', 'busybox', 'sleep', '9'];
  expect(await docker.run(args)).toContain('converged');
  const format = '{{.Name}} {{.Mode}} {{.Replicas}} {{.Image}}';
  expect(await docker.run(['service', 'ls', '--format', format])).toBe(
    'web replicated 3/3 busybox:latest',
  );
  const tasks = await docker.run(['service', 'ps', 'web', '--format', '{{.Name}} {{.Node}}']);
  expect(tasks.split('\n').toSorted()).toEqual(['web.1 m1', 'web.2 w1', 'web.3 w2']);
  expect(await docker.json(['service', 'inspect', 'web'])).toMatchObject([
    {
      Spec: {
        Name: 'web',
        Mode: { Replicated: { Replicas: 3 } },
        UpdateConfig: { Parallelism: 1, Order: 'stop-first', FailureAction: 'pause' },
      },
    },
  ]);
  expect(await docker.run(['service', 'inspect', '--pretty', 'web'])).toContain('Replicas:');
});

test('a service without a name gets one, and without replicas one task', async () => {
  const { docker } = setup;
  const id = await docker.run([...CREATE, '-d', 'busybox']);
  const name = await docker.run(['service', 'inspect', id, '--format', '{{.Spec.Name}}']);
  expect(name).toMatch(/^[a-z]+_[a-z]+$/);
  expect(await docker.run(['service', 'ls', '--format', '{{.Name}}'])).toBe(name);
});

test('global services run once per node', async () => {
  const { docker } = setup;
  await docker.run([...CREATE, '--mode', 'global', '--name', 'everywhere', 'busybox']);
  expect(await docker.run(['service', 'ls', '--format', '{{.Mode}} {{.Replicas}}'])).toBe(
    'global 3/3',
  );
});

test.each([
  ['replicated-job', ['--replicas', '4', '--max-concurrent', '2'], '4/4 completed'],
  ['global-job', [], '3/3 completed'],
])('%s runs to completion and is counted', async (mode, options, counted) => {
  const { docker } = setup;
  await docker.run([...CREATE.slice(0, 3), '--mode', mode, ...options, '--name', 'job', 'busybox']);
  expect(await docker.run(['service', 'ls', '--format', '{{.Replicas}}'])).toContain(counted);
});

test('service logs name the task and its node', async () => {
  const { docker } = setup;
  await docker.run([...CREATE, '--name', 'web', '--replicas', '2', 'busybox']);
  const lines = (await docker.run(['service', 'logs', 'web'])).split('\n');
  expect(lines).toHaveLength(2);
  expect(lines.toSorted()[0]).toMatch(/^web\.1\.\S+@m1\s+\| hello from slot 1$/);
  expect(await docker.run(['service', 'logs', '-t', 'web'])).toMatch(
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z web/,
  );
});

test('docker inspect finds a service behind containers and networks', async () => {
  const { docker } = setup;
  const id = await docker.run([...CREATE, '-d', '--name', 'web', 'busybox']);
  expect(await docker.run(['inspect', 'web', '--format', '{{.ID}}'])).toBe(id);
});

test('a published port, a secret, a config and a network are kept as sent', async () => {
  const { docker } = setup;
  await docker.run(['network', 'create', '-d', 'overlay', 'app']);
  await docker.run(['secret', 'create', 'key', '-'], { input: 'k' });
  await docker.run(['config', 'create', 'conf', '-'], { input: 'c' });
  const parts = ['--network', 'app', '--secret', 'key', '--config', 'conf', '-p', '8080:80'];
  await docker.run([...CREATE, '-d', ...parts, '--name', 'web', 'busybox']);
  const port = '{{(index .Endpoint.Ports 0).PublishedPort}}';
  expect(await docker.run(['service', 'inspect', 'web', '--format', port])).toBe('8080');
  expect((await docker.try(['network', 'rm', 'app'])).stderr).toContain('is in use by service');
  expect((await docker.try(['secret', 'rm', 'key'])).stderr).toContain(
    "secret 'key' is in use by the following service: web",
  );
  expect((await docker.try(['config', 'rm', 'conf'])).stderr).toContain(
    "config 'conf' is in use by the following service: web",
  );
  await docker.run(['service', 'rm', 'web']);
  await docker.run(['network', 'rm', 'app']);
  await docker.run(['secret', 'rm', 'key']);
  await docker.run(['config', 'rm', 'conf']);
});

test.each([
  [['--network', 'nowhere', 'busybox'], 'network nowhere not found'],
  [
    ['--name', 'web', 'busybox'],
    'name conflicts with an existing object: service web already exists',
  ],
  [['-p', '8080:81', 'busybox'], "port '8080' is already in use by service 'web'"],
  [['--name', 'not valid', 'busybox'], 'name must be valid as a DNS name component'],
])('service create %j is refused', async (args, message) => {
  const { docker } = setup;
  await docker.run([...CREATE, '-d', '--name', 'web', '-p', '8080:80', 'busybox']);
  const refused = await docker.try([...CREATE, '-d', ...args]);
  expect(refused.exitCode).toBe(1);
  expect(refused.stderr).toContain(message);
  expect(await docker.run(['service', 'ls', '--format', '{{.Name}}'])).toBe('web');
});

test('removing what is not there fails and says so', async () => {
  const refused = await setup.docker.try(['service', 'rm', 'nowhere']);
  expect(refused.exitCode).toBe(1);
  expect(refused.stderr).toContain('service nowhere not found');
});
