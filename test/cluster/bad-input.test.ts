import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call } from '../../deploy/lab/api.ts';
import { TestCluster } from './cluster.ts';

let cluster: TestCluster;
let other: TestCluster;
const folder = mkdtempSync(join(tmpdir(), 'muster-bad-'));

beforeAll(async () => {
  cluster = await TestCluster.start('bad', { managers: 1, agents: 1 });
  other = await TestCluster.start('other', { managers: 1, agents: 0 });
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await other?.stop();
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

const service = (name: string, extra: object = {}): object => ({
  Name: name,
  TaskTemplate: { ContainerSpec: { Image: 'muster/web:1' } },
  ...extra,
});

test('an unknown network is refused with 404 and no service is made', async () => {
  const spec = {
    ...service('lost'),
    TaskTemplate: { ContainerSpec: { Image: 'muster/web:1' }, Networks: [{ Target: 'nowhere' }] },
  };
  expect(await cluster.apiStatus('h1', 'POST', '/services/create', spec)).toEqual({
    status: 404,
    message: 'network nowhere not found',
  });
  expect(await cluster.ctl('h1', 'service', 'ls', '-q')).toBe('');
});

test('a name that is taken is refused with 409', async () => {
  await cluster.ctl(
    'h1',
    'service',
    'create',
    '-d',
    '--name',
    'web',
    '--publish',
    '8080:80',
    'muster/web:1',
  );
  const again = await cluster.apiStatus('h1', 'POST', '/services/create', service('web'));
  expect(again.status).toBe(409);
  expect(again.message).toContain('name conflicts with an existing object');
});

test('a port that is taken is refused, naming who has it', async () => {
  const ports = { EndpointSpec: { Ports: [{ TargetPort: 80, PublishedPort: 8080 }] } };
  const answer = await cluster.apiStatus(
    'h1',
    'POST',
    '/services/create',
    service('greedy', ports),
  );
  expect(answer.status).toBe(400);
  expect(answer.message).toContain("port '8080' is already in use by service 'web'");
  expect(await cluster.ctl('h1', 'service', 'ls')).not.toContain('greedy');
});

test('an image that does not exist leaves a task that says so', async () => {
  await cluster.ctl(
    'h1',
    'service',
    'create',
    '-d',
    '--name',
    'ghost',
    '--restart-condition',
    'none',
    'muster/nothing:1',
  );
  await expect
    .poll(() => cluster.ctl('h1', 'service', 'ps', '--no-trunc', 'ghost'), { timeout: 60_000 })
    .toContain('No such image: muster/nothing:1');
  await cluster.ctl('h1', 'service', 'rm', 'ghost', 'web');
});

test('a stack file with a mistake names the line and makes nothing', async () => {
  const file = join(folder, 'bad.yaml');
  writeFileSync(file, 'services:\n  web:\n    image: muster/web:1\n    prots: ["80:80"]\n');
  const done = await cluster.tryCtl('h1', 'stack', 'deploy', '-c', file, 'bad');
  expect(done.code).toBe(1);
  expect(done.err).toContain(
    `${file}:4: services.web.prots Additional property prots is not allowed`,
  );
  writeFileSync(file, 'services:\n  web:\n    image: "muster\n');
  expect((await cluster.tryCtl('h1', 'stack', 'deploy', '-c', file, 'bad')).err).toMatch(
    /bad\.yaml:\d+: yaml:/,
  );
  expect(await cluster.ctl('h1', 'network', 'ls')).not.toContain('bad_');
});

test('a wrong token, and the token of another cluster, are refused and leave the host as it was', async () => {
  const swarm = (await call(other.host('h1').socket, 'GET', '/swarm')) as {
    JoinTokens: { Worker: string };
  };
  await cluster.ctl('h2', 'swarm', 'leave');
  const remote = `${cluster.host('h1').address}:2377`;
  const foreign = await cluster.tryCtl(
    'h2',
    'swarm',
    'join',
    '--token',
    swarm.JoinTokens.Worker,
    remote,
  );
  expect(foreign.code).toBe(1);
  expect(foreign.err).toContain('remote CA does not match fingerprint');
  const own = (await cluster.ctl('h1', 'swarm', 'join-token', '-q', 'worker')).trim();
  const wrong = await cluster.tryCtl(
    'h2',
    'swarm',
    'join',
    '--token',
    `${own.slice(0, -1)}${own.endsWith('0') ? '1' : '0'}`,
    remote,
  );
  expect(wrong.code).toBe(1);
  expect(wrong.err).toContain('A valid join token is necessary to join this cluster');
  expect(
    (await cluster.tryCtl('h2', 'swarm', 'join', '--token', 'nonsense', remote)).err,
  ).toContain('invalid join token');
  expect(await cluster.ctl('h2', 'swarm', 'join', '--token', own, remote)).toContain(
    'joined the cluster as a worker',
  );
});

test('a worker does not answer for the cluster, and says who does', async () => {
  const answer = await cluster.apiStatus('h2', 'GET', '/services');
  expect(answer.status).toBe(503);
  expect(answer.message).toContain('This node is not a swarm manager');
});
