import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Setup, setUp } from './setup.ts';

let setup: Setup;
let cwd: string;
beforeAll(async () => {
  setup = await setUp();
  cwd = await mkdtemp(join(tmpdir(), 'stack-'));
  await writeFile(join(cwd, 'page.html'), 'hello');
  await writeFile(join(cwd, 'key.txt'), 'secret');
  await writeFile(join(cwd, 'stack.yaml'), STACK);
});
afterAll(async () => {
  await setup[Symbol.asyncDispose]();
  await rm(cwd, { recursive: true, force: true });
});

const STACK = `
services:
  web:
    image: busybox:1
    command: httpd -f
    ports: ["8080:80"]
    networks: [front]
    configs: [page]
    secrets: [key]
    deploy:
      replicas: 3
      update_config: {parallelism: 1, order: start-first, monitor: 200ms}
      placement: {max_replicas_per_node: 2}
  counter:
    image: busybox:1
    networks: [front]
    deploy: {mode: global, update_config: {monitor: 200ms}}
networks: {front: {}}
configs: {page: {file: page.html}}
secrets: {key: {file: key.txt}}
`;

const DEPLOY = [
  'stack',
  'deploy',
  '--resolve-image',
  'never',
  '--detach=false',
  '-c',
  'stack.yaml',
];

async function tasks(): Promise<readonly string[]> {
  return (await setup.docker.run(['stack', 'ps', 'shop', '-q'])).split('\n').toSorted();
}

test('a stack deploys, is listed, and deploying it again changes nothing', async () => {
  const { docker } = setup;
  await docker.run([...DEPLOY, 'shop'], { cwd });
  expect(await docker.run(['stack', 'ls', '--format', '{{.Name}} {{.Services}}'])).toBe('shop 2');
  const services = await docker.run([
    'stack',
    'services',
    'shop',
    '--format',
    '{{.Name}} {{.Replicas}}',
  ]);
  expect(services.split('\n').toSorted()).toEqual([
    'shop_counter 3/3',
    'shop_web 3/3 (max 2 per node)',
  ]);
  const before = await tasks();
  expect(before).toHaveLength(6);
  await docker.run([...DEPLOY, 'shop'], { cwd });
  expect(await tasks()).toEqual(before);
});

test('stack rm leaves nothing, although its tasks are still stopping', async () => {
  const { docker } = setup;
  await docker.run(['stack', 'rm', 'shop']);
  expect(await docker.run(['service', 'ls', '-q'])).toBe('');
  expect(await docker.run(['secret', 'ls', '-q'])).toBe('');
  expect(await docker.run(['config', 'ls', '-q'])).toBe('');
  expect(await docker.run(['network', 'ls', '-f', 'scope=swarm', '--format', '{{.Name}}'])).toBe(
    'ingress',
  );
});

test('a stack can be deployed again right after its removal', async () => {
  const { docker } = setup;
  await docker.run([...DEPLOY, 'shop'], { cwd });
  await docker.run(['stack', 'rm', 'shop']);
  await docker.run([...DEPLOY, 'shop'], { cwd });
  await docker.run(['stack', 'rm', '--detach=false', 'shop']);
  expect((await docker.try(['stack', 'ps', 'shop'])).stderr).toContain('nothing found in stack');
});

test('--prune removes the services that the file no longer has', async () => {
  const { docker } = setup;
  await docker.run([...DEPLOY, 'shop'], { cwd });
  const smaller = STACK.replace(/ {2}counter:[\s\S]*?monitor: 200ms}}\n/, '');
  await writeFile(join(cwd, 'stack.yaml'), smaller);
  await docker.run([...DEPLOY, '--prune', 'shop'], { cwd });
  expect(await docker.run(['stack', 'services', 'shop', '--format', '{{.Name}}'])).toBe('shop_web');
  await docker.run(['stack', 'rm', 'shop']);
});
