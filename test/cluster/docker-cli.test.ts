import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestCluster } from './cluster.ts';

/** The stock docker client, unmodified, against a manager of a real cluster. */
let cluster: TestCluster;
const folder = mkdtempSync(join(tmpdir(), 'muster-docker-'));

beforeAll(async () => {
  cluster = await TestCluster.start('docker', { managers: 1, agents: 2 });
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

const docker = (...args: readonly string[]): Promise<string> => cluster.docker('h1', ...args);

test('service verbs, with the client waiting for convergence by itself', async () => {
  await docker('network', 'create', '-d', 'overlay', '--attachable', 'app');
  const created = await docker(
    'service',
    'create',
    '--name',
    'web',
    '--replicas',
    '2',
    '--network',
    'app',
    '-p',
    '8080:80',
    '--update-monitor',
    '500ms',
    '--update-parallelism',
    '2',
    'muster/web:1',
  );
  expect(created).toContain('converged');
  expect(await docker('service', 'ls')).toMatch(
    /web\s+replicated\s+2\/2\s+muster\/web:1\s+\*:8080->80\/tcp/,
  );
  expect(await docker('service', 'ps', 'web')).toMatch(/web\.1[\s\S]*Running[\s\S]*web\.2/);
  expect(await docker('service', 'inspect', '--pretty', 'web')).toContain('Replicas:\t2');
  expect(await docker('service', 'scale', 'web=3')).toContain('converged');
  expect(await docker('service', 'update', '--image', 'muster/web:2', 'web')).toContain(
    'converged',
  );
  expect(await docker('service', 'rollback', 'web')).toContain('converged');
  expect(
    await docker(
      'service',
      'ps',
      '--filter',
      'desired-state=running',
      '--format',
      '{{.Image}}',
      'web',
    ),
  ).toBe('muster/web:1\nmuster/web:1\nmuster/web:1\n');
  expect(await docker('service', 'logs', 'web')).toMatch(/web\.\d\.\w+@h\d\s+\| web: \S+ version/);
  expect(await docker('service', 'rm', 'web')).toBe('web\n');
});

test('secrets, configs and nodes', async () => {
  writeFileSync(join(folder, 'value'), 'text');
  await docker('secret', 'create', 'key', join(folder, 'value'));
  await docker('config', 'create', 'page', join(folder, 'value'));
  expect(await docker('secret', 'ls', '--format', '{{.Name}}')).toBe('key\n');
  expect(await docker('config', 'inspect', '--format', '{{.Spec.Name}}', 'page')).toBe('page\n');
  await docker(
    'service',
    'create',
    '--name',
    'reader',
    '--secret',
    'key',
    '--config',
    'source=page,target=/page',
    'muster/web:1',
    'sh',
    '-c',
    "cat /run/secrets/key /page; echo; trap 'exit 0' TERM; while :; do sleep 1; done",
  );
  await expect
    .poll(() => docker('service', 'logs', '--raw', 'reader'), { timeout: 10_000 })
    .toContain('texttext');
  const refused = await cluster.tryDocker('h1', 'secret', 'rm', 'key');
  expect(refused.err).toContain("secret 'key' is in use by the following service: reader");
  await docker('service', 'rm', 'reader');
  await docker('secret', 'rm', 'key');
  await docker('config', 'rm', 'page');
  await docker('node', 'update', '--label-add', 'zone=a', 'h2');
  expect(await docker('node', 'inspect', '--format', '{{.Spec.Labels.zone}}', 'h2')).toBe('a\n');
  expect(
    await docker('node', 'ls', '--format', '{{.Hostname}} {{.Status}} {{.ManagerStatus}}'),
  ).toContain('h1 Ready Leader');
});

test('a templated config is filled in for each task', async () => {
  writeFileSync(join(folder, 'template'), '{{.Service.Name}} slot {{.Task.Slot}}\n');
  await docker(
    'config',
    'create',
    '--template-driver',
    'golang',
    'hello',
    join(folder, 'template'),
  );
  await docker(
    'service',
    'create',
    '--name',
    'templated',
    '--config',
    'source=hello,target=/hello',
    'muster/web:1',
    'sh',
    '-c',
    "cat /hello; trap 'exit 0' TERM; while :; do sleep 1; done",
  );
  await expect
    .poll(() => docker('service', 'logs', '--raw', 'templated'), { timeout: 10_000 })
    .toContain('templated slot 1');
  await docker('service', 'rm', 'templated');
});

test('stacks: deploy, ps and rm', async () => {
  const file = join(folder, 'stack.yaml');
  writeFileSync(file, 'services:\n  web:\n    image: muster/web:1\n    deploy: {replicas: 2}\n');
  await docker('stack', 'deploy', '--detach=false', '-c', file, 'shop');
  expect(await docker('stack', 'ps', '--format', '{{.Name}} {{.CurrentState}}', 'shop')).toMatch(
    /shop_web\.1 Running/,
  );
  expect(await docker('stack', 'ls', '--format', '{{.Name}} {{.Services}}')).toBe('shop 1\n');
  expect(await docker('stack', 'rm', 'shop')).toContain('Removing network shop_default');
  await expect
    .poll(() => docker('network', 'ls', '--format', '{{.Name}}'), { timeout: 20_000 })
    .not.toContain('shop_default');
});

test('a node is drained: its tasks move', async () => {
  await docker('service', 'create', '--name', 'moving', '--replicas', '3', 'muster/web:1');
  await docker('node', 'update', '--availability', 'drain', 'h3');
  await expect
    .poll(
      async () => {
        const tasks = await cluster.running('moving');
        const hosts = await Promise.all(tasks.map((task) => cluster.hostOf(task)));
        return tasks.length === 3 && !hosts.includes('h3');
      },
      { timeout: 20_000 },
    )
    .toBe(true);
  await docker('node', 'update', '--availability', 'active', 'h3');
  await docker('service', 'rm', 'moving');
});

test('containers of one host: run, ps, logs, exec, rm', async () => {
  expect(await docker('run', '--rm', 'muster/web:1', 'echo', 'hello')).toBe('hello\n');
  const failing = await cluster.tryDocker(
    'h1',
    'run',
    '--rm',
    'muster/web:1',
    'sh',
    '-c',
    'exit 7',
  );
  expect(failing.code).toBe(7);
  await docker('run', '-d', '--name', 'server', 'muster/web:1');
  expect(await docker('exec', 'server', 'wget', '-q', '-O', '-', 'http://127.0.0.1/')).toContain(
    'hello from',
  );
  expect(await docker('logs', 'server')).toContain('listens on port 80');
  await docker('rm', '-f', 'server');
  expect((await cluster.tryDocker('h1', 'logs', 'server')).err).toContain(
    'No such container: server',
  );
});
