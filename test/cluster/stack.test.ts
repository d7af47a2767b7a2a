import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestCluster } from './cluster.ts';

const STACK = `
services:
  web:
    image: muster/web:1
    networks: [front]
    ports: ["8080:80"]
    configs: [motto]
    secrets: [token]
    environment: {VERSION: "7"}
    deploy:
      replicas: 2
      labels: {team: shop}
      restart_policy: {condition: any, delay: 1s}
      update_config: {parallelism: 1, order: start-first}
      placement: {constraints: ["node.role == worker"], max_replicas_per_node: 1}
      resources: {limits: {memory: 64M}}
  client:
    image: muster/web:1
    networks: [front]
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"]
networks: {front: {attachable: true}}
configs: {motto: {file: motto.txt}}
secrets: {token: {file: token.txt}}
`;

let cluster: TestCluster;
const folder = mkdtempSync(join(tmpdir(), 'muster-stack-'));

beforeAll(async () => {
  writeFileSync(join(folder, 'stack.yaml'), STACK);
  writeFileSync(join(folder, 'motto.txt'), 'one motto');
  writeFileSync(join(folder, 'token.txt'), 'one token');
  cluster = await TestCluster.start('stack');
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

async function taskIds(): Promise<readonly string[]> {
  const tasks = [...(await cluster.running('shop_web')), ...(await cluster.running('shop_client'))];
  return tasks.map((task) => task.ID).toSorted();
}

test('a stack file deploys, and everything of it reaches the containers', async () => {
  await cluster.ctl('h1', 'stack', 'deploy', '-c', join(folder, 'stack.yaml'), 'shop');
  const web = await cluster.waitRunning('shop_web', 2);
  const [client] = await cluster.waitRunning('shop_client', 1);
  if (!client || !web[0]) throw new Error('no tasks');
  expect(await cluster.execIn(web[0], 'cat /motto /run/secrets/token')).toBe('one mottoone token');
  expect(await cluster.execIn(client, 'wget -q -O - http://web/')).toContain('version 7');
  const hosts = await Promise.all(web.map((task) => cluster.hostOf(task)));
  expect(hosts.every((host) => ['h4', 'h5', 'h6'].includes(host))).toBe(true);
  expect(await cluster.ctl('h2', 'stack', 'ls')).toMatch(/shop\s+2/);
});

test('deploying the same file again restarts nothing; a change replaces what it touches', async () => {
  const before = await taskIds();
  await cluster.ctl('h1', 'stack', 'deploy', '-c', join(folder, 'stack.yaml'), 'shop');
  expect(await taskIds()).toEqual(before);
  writeFileSync(join(folder, 'stack.yaml'), STACK.replace('VERSION: "7"', 'VERSION: "8"'));
  const [client] = await cluster.running('shop_client');
  await cluster.ctl('h1', 'stack', 'deploy', '-c', join(folder, 'stack.yaml'), 'shop');
  await cluster.waitRunning('shop_web', 2);
  expect((await cluster.running('shop_client')).map((task) => task.ID)).toEqual([client?.ID]);
  if (!client) throw new Error('no client');
  expect(await cluster.execIn(client, 'wget -q -O - http://web/')).toContain('version 8');
});

test('stack rm leaves nothing', async () => {
  await cluster.ctl('h1', 'stack', 'rm', 'shop');
  for (const noun of ['service', 'secret', 'config']) {
    expect(await cluster.ctl('h1', noun, 'ls')).not.toContain('shop_');
  }
  await expect
    .poll(() => cluster.ctl('h1', 'network', 'ls'), { timeout: 20_000 })
    .not.toContain('shop_');
  await expect
    .poll(
      async () =>
        (
          await Promise.all(
            ['h1', 'h2', 'h3', 'h4', 'h5', 'h6'].map((host) => cluster.docker(host, 'ps', '-aq')),
          )
        ).join(''),
      { timeout: 20_000 },
    )
    .toBe('');
});
