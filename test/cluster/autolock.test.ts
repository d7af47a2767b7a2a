import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, TestCluster } from './cluster.ts';

let cluster: TestCluster;
const MANAGERS = ['h1', 'h2', 'h3'];
const LOCKED =
  'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.';

beforeAll(async () => {
  cluster = await TestCluster.start('autolock', { managers: 3, agents: 0 });
  await cluster.api('h1', 'POST', '/configs/create', { Name: 'before', Data: 'cGxhaW50ZXh0' });
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

async function unlockKey(host: string): Promise<string> {
  return (await cluster.docker(host, 'swarm', 'unlock-key', '-q')).trim();
}

async function hasNoUnlockKey(host: string): Promise<boolean> {
  const asked = await cluster.tryDocker(host, 'swarm', 'unlock-key', '-q');
  return asked.code === 1 && asked.err.includes('no unlock key is set');
}

async function state(host: string): Promise<string> {
  const info = await cluster.api<{ Swarm: { LocalNodeState: string } }>(host, 'GET', '/info');
  return info.Swarm.LocalNodeState;
}

async function restart(host: string): Promise<void> {
  await cluster.host(host).stop();
  await cluster.host(host).start();
}

async function unlock(host: string, key: string): Promise<{ status: number; message: string }> {
  return await cluster.apiStatus(host, 'POST', '/swarm/unlock', { UnlockKey: key });
}

/** Waits until the key file of every manager fits what the cluster wants. */
async function allWrapped(hosts: readonly string[], wrapped: boolean): Promise<void> {
  await eventually(`the keys of ${hosts.join()} to be ${wrapped ? 'wrapped' : 'plain'}`, () =>
    Promise.resolve(
      hosts.every((host) => {
        const file = join(cluster.host(host).dataDir, 'manager', 'keys.json');
        return readFileSync(file, 'utf8').includes('"wrapped"') === wrapped;
      }),
    ),
  );
}

test('nothing of the log can be read on the disk', () => {
  for (const host of MANAGERS) {
    const folder = join(cluster.host(host).dataDir, 'manager', 'raft', 'wal');
    for (const file of readdirSync(folder)) {
      const content = readFileSync(join(folder, file));
      expect(content.includes('cGxhaW50ZXh0')).toBe(false);
      expect(content.includes('PRIVATE KEY')).toBe(false);
    }
  }
});

test('without autolock a manager starts by itself, and there is no key to show', async () => {
  expect(await hasNoUnlockKey('h1')).toBe(true);
  await restart('h3');
  await eventually('h3 to answer', async () =>
    (await cluster.ctl('h3', 'config', 'ls')).includes('before'),
  );
  expect(await unlock('h3', 'SWMKEY-1-x')).toEqual({ status: 409, message: 'swarm is not locked' });
});

test('with autolock a manager that was stopped is locked, until it is given the key', async () => {
  const out = await cluster.docker('h1', 'swarm', 'update', '--autolock=true');
  const key = await unlockKey('h2');
  expect(key).toMatch(/^SWMKEY-1-/);
  expect(out).toContain(key);
  await allWrapped(MANAGERS, true);
  await restart('h3');
  expect(await state('h3')).toBe('locked');
  const refused = await cluster.tryDocker('h3', 'node', 'ls');
  expect(refused.err).toContain(LOCKED);
  expect(await cluster.apiStatus('h3', 'GET', '/services')).toEqual({
    status: 503,
    message: LOCKED,
  });
  const left = await cluster.tryDocker('h3', 'swarm', 'leave');
  expect(left.err).toContain('Swarm is encrypted and locked. Please unlock it first');
  expect(await unlock('h3', 'nonsense')).toEqual({ status: 400, message: 'invalid key string' });
  const wrong = await unlock('h3', `SWMKEY-1-${'A'.repeat(43)}`);
  expect(wrong.message).toBe('swarm could not be unlocked: invalid key provided');
  expect(await state('h3')).toBe('locked');
  const done = await cluster.inside('h3', 'sh', '-c', `echo ${key} | docker swarm unlock`);
  expect(done.err).toBe('');
  expect(await state('h3')).toBe('active');
  expect(await cluster.ctl('h3', 'config', 'ls')).toContain('before');
});

test('a new key replaces the old one on every manager; a crashed manager is locked too', async () => {
  const old = await unlockKey('h1');
  await cluster.docker('h1', 'swarm', 'unlock-key', '--rotate');
  const key = await unlockKey('h1');
  expect(key).not.toBe(old);
  await cluster.api('h2', 'POST', '/configs/create', { Name: 'after', Data: 'eA==' });
  await eventually('h2 to know the new key', async () => (await unlockKey('h2')) === key);
  await cluster.host('h2').kill('manager');
  await eventually('h2 to be locked', async () => (await state('h2')) === 'locked');
  expect((await unlock('h2', old)).status).toBe(401);
  await cluster.inside('h2', 'sh', '-c', `echo ${key} | node dist/ctl.js swarm unlock`);
  expect(await cluster.ctl('h2', 'config', 'ls')).toContain('after');
});

test('a manager that was down while the key was renewed starts with the one it knew, and then needs the new one', async () => {
  const old = await unlockKey('h1');
  await cluster.host('h3').stop();
  const rotated = (await cluster.ctl('h1', 'swarm', 'unlock-key', '--rotate', '-q')).trim();
  const key = (await cluster.docker('h1', 'swarm', 'unlock-key', '--rotate', '-q')).trim();
  expect(new Set([old, rotated, key]).size).toBe(3);
  await cluster.host('h3').start();
  expect((await unlock('h3', key)).status).toBe(401);
  expect((await unlock('h3', old)).status).toBe(200);
  await eventually('h3 to know the new key', async () => (await unlockKey('h3')) === key);
  await restart('h3');
  expect((await unlock('h3', old)).status).toBe(401);
  expect((await unlock('h3', key)).status).toBe(200);
});

test('a survivor of a locked cluster goes on alone, and is locked as before', async () => {
  const key = await unlockKey('h1');
  await Promise.all(['h2', 'h3'].map((host) => cluster.host(host).kill('all')));
  await cluster.docker('h1', 'swarm', 'init', '--force-new-cluster');
  expect(await cluster.ctl('h1', 'config', 'ls')).toContain('after');
  await restart('h1');
  expect(await state('h1')).toBe('locked');
  const refused = await cluster.tryDocker('h1', 'swarm', 'init', '--force-new-cluster');
  expect(refused.err).toContain(LOCKED);
  expect((await unlock('h1', key)).status).toBe(200);
  expect(await cluster.ctl('h1', 'config', 'ls')).toContain('before');
});

test('autolock is turned off: the manager starts by itself', async () => {
  await cluster.ctl('h1', 'swarm', 'update', '--autolock', 'false');
  expect(await hasNoUnlockKey('h1')).toBe(true);
  for (const options of [[], ['-q'], ['--rotate']]) {
    const refused = await cluster.tryCtl('h1', 'swarm', 'unlock-key', ...options);
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('autolock is off')]);
  }
  const rotation = await cluster.tryDocker('h1', 'swarm', 'unlock-key', '--rotate');
  expect(rotation.err).toContain('cannot rotate because autolock is not turned on');
  await allWrapped(['h1'], false);
  await restart('h1');
  await eventually('h1 to answer', async () =>
    (await cluster.ctl('h1', 'config', 'ls')).includes('before'),
  );
});

test('a cluster is made with autolock from the start', async () => {
  await cluster.host('h2').start();
  await cluster.docker('h2', 'swarm', 'leave', '--force');
  const out = await cluster.docker(
    'h2',
    'swarm',
    'init',
    '--autolock',
    '--advertise-addr',
    cluster.host('h2').address,
  );
  expect(out).toContain(await unlockKey('h2'));
  await allWrapped(['h2'], true);
  expect(
    readFileSync(join(cluster.host('h2').dataDir, 'manager', 'begin.json'), 'utf8'),
  ).not.toContain('SWMKEY');
});
