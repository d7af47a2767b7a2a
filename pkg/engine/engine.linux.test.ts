import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestHost } from './test-host.ts';

let host: TestHost;
beforeAll(async () => {
  host = await TestHost.open();
});
afterAll(() => host.close());

test('a container runs with its output, exit code and history', async () => {
  const id = await host.start('echo out; echo err >&2; exit 3', {}, 'first');
  expect(await host.wait(id)).toEqual({ exitCode: 3 });
  expect(await host.log(id)).toBe('out\nerr\n');
  const inspect = await host.engine.containers.inspect('first', { size: true });
  expect(inspect).toMatchObject({
    Id: id,
    Name: '/first',
    Path: '/bin/sh',
    State: { Status: 'exited', ExitCode: 3, Running: false, Pid: 0 },
    Config: { Image: 'busybox', Hostname: id.slice(0, 12) },
  });
  await host.engine.containers.remove(id, { force: false, volumes: false });
  await expect(host.engine.containers.inspect(id, { size: false })).rejects.toThrow(
    `No such container: ${id}`,
  );
});

test('it runs as the user, with the groups, environment and directory asked for', async () => {
  await host.load('app:1', {}, ['ENV A=image', 'ENV B=image', 'USER app', 'WORKDIR /srv/new']);
  const { out } = await host.run('id -u; id -G; echo $A $B $HOME $HOSTNAME; pwd', {
    Image: 'app:1',
    Env: ['B=own'],
    Hostname: 'box',
  });
  expect(out).toBe('1000\n1000 2000\nimage own /home/app box\n/srv/new\n');
  const sealed = await host.run('pwd; touch x 2>&1', {
    WorkingDir: '/srv/deep/dir',
    HostConfig: { ReadonlyRootfs: true },
  });
  expect(sealed.out).toBe('/srv/deep/dir\ntouch: x: Read-only file system\n');
  await expect(host.run('true', { User: 'nobody-here' })).rejects.toThrow(
    'unable to find user nobody-here: no matching entries in passwd file',
  );
});

test("it says in Docker's words why it cannot", async () => {
  const create = host.engine.containers.create.bind(host.engine.containers);
  await expect(create(undefined, { Image: 'nothing' })).rejects.toThrow(
    'No such image: nothing:latest',
  );
  const id = await host.start('sleep 1000', {}, 'taken');
  await expect(create('taken', { Image: 'busybox', Cmd: ['x'] })).rejects.toThrow(
    `Conflict. The container name "/taken" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`,
  );
  await expect(host.engine.containers.start(id)).rejects.toMatchObject({ kind: 'not-modified' });
  await expect(host.engine.containers.remove(id, { force: false, volumes: false })).rejects.toThrow(
    'container is running',
  );
  const mounts = [{ Type: 'bind', Source: '/no/such', Target: '/x' }];
  await expect(host.run('true', { HostConfig: { Mounts: mounts } })).rejects.toThrow(
    'invalid mount config for type "bind": bind source path does not exist: /no/such',
  );
  await host.engine.containers.remove(id, { force: true, volumes: false });
  const missing = await create('missing', {
    Image: 'busybox',
    Cmd: ['no-such-program'],
    HostConfig: { NetworkMode: 'none' },
  });
  await expect(host.engine.containers.start(missing.id)).rejects.toThrow(
    'exec: "no-such-program": executable file not found in $PATH',
  );
  expect(await host.engine.containers.inspect('missing', { size: false })).toMatchObject({
    State: { Status: 'created', ExitCode: 127 },
  });
  await host.engine.containers.remove('missing', { force: false, volumes: false });
});

test('it is stopped by its signal, killed when it will not, paused, restarted, renamed', async () => {
  const polite = await host.start(
    'trap "echo bye; exit 7" USR1; echo ready; while :; do sleep 0.1; done',
    { StopSignal: 'SIGUSR1' },
  );
  await host.logged(polite, 'ready');
  await host.engine.containers.stop(polite, { timeoutS: 20 });
  expect(await host.wait(polite)).toMatchObject({ exitCode: 7 });
  await expect(host.engine.containers.stop(polite, {})).rejects.toMatchObject({
    kind: 'not-modified',
  });

  const deaf = await host.start('trap "" TERM; echo ready; while :; do sleep 0.1; done');
  await host.logged(deaf, 'ready');
  await host.engine.containers.pause(deaf);
  expect(await host.engine.containers.inspect(deaf, { size: false })).toMatchObject({
    State: { Status: 'paused' },
  });
  await host.engine.containers.unpause(deaf);
  await host.engine.containers.stop(deaf, { timeoutS: 0 });
  expect(await host.wait(deaf)).toMatchObject({ exitCode: 137 });

  await host.engine.containers.rename(deaf, 'renamed');
  await host.engine.containers.restart('renamed', {});
  expect(await host.engine.containers.list({ all: false, size: false })).toMatchObject([
    { Id: deaf, Names: ['/renamed'], State: 'running', Image: 'busybox' },
  ]);
  await host.engine.containers.kill('renamed', 'KILL');
  expect(await host.wait(deaf)).toMatchObject({ exitCode: 137 });
});

test('it has streams attached before the first byte, and programs run inside', async () => {
  const { id } = await host.engine.containers.create('streams', {
    Image: 'busybox',
    Cmd: ['cat'],
    OpenStdin: true,
    HostConfig: { NetworkMode: 'none', AutoRemove: true },
  });
  const stream = await host.engine.containers.attach(id, { stdin: true });
  const removed = host.engine.containers.wait(id, 'removed', {
    registered: () => undefined,
    signal: AbortSignal.timeout(20_000),
  });
  await host.engine.containers.start(id);
  const exec = await host.exec(id, 'echo $X; exit 5', { Env: ['X=inside'] });
  expect(exec).toEqual({ code: 5, out: 'inside\n' });
  stream.stdin.end('through\n');
  let out = '';
  for await (const chunk of stream.stdout) out += String(chunk);
  expect(out).toBe('through\n');
  expect(await removed).toMatchObject({ exitCode: 0 });
  await expect(host.engine.containers.inspect(id, { size: false })).rejects.toThrow(
    'No such container',
  );
});

describe('mounts', () => {
  test('binds, tmpfs, named and anonymous volumes, filled from the image', async () => {
    await host.load('data:1', { 'srv/data/seed': 'from the image' }, ['VOLUME /srv/data']);
    const source = join(host.dir, 'bound');
    mkdirSync(source);
    writeFileSync(join(source, 'file'), 'from the host');
    const { out, code } = await host.run(
      'cat /srv/data/seed /bound/file; ls -ld /srv/data | cut -d" " -f1; touch /bound/x 2>&1; df -k /ram | tail -1 | awk \'{print $2}\'',
      {
        Image: 'data:1',
        HostConfig: { Binds: [`${source}:/bound:ro`], Tmpfs: { '/ram': 'size=1m' } },
      },
    );
    expect(out).toContain('from the imagefrom the hostdrwxr-xr-x\n');
    expect(out).toContain('Read-only file system');
    expect(out.trim().split('\n').at(-1)).toBe('1024');
    expect(code).toBe(0);
    expect(await host.engine.volumes.list()).toEqual([]);

    const Binds = ['keep:/srv/data'];
    await host.run('cat /srv/data/seed; echo more > /srv/data/more', {
      Image: 'data:1',
      HostConfig: { Binds },
    });
    const again = await host.run('cat /srv/data/more', { HostConfig: { Binds } });
    expect(again.out).toBe('more\n');
    expect(await host.engine.volumes.list()).toMatchObject([{ Name: 'keep' }]);
    const user = await host.start('sleep 1000', { HostConfig: { Binds } });
    await expect(host.engine.volumes.remove('keep', { force: false })).rejects.toThrow(
      `remove keep: volume is in use - [${user}]`,
    );
    await host.engine.containers.remove(user, { force: true, volumes: true });
    await host.engine.volumes.remove('keep', { force: false });
  });

  test('files go in and out of stopped and running containers', async () => {
    const id = await host.start(
      'mkdir -p /tmp/a; echo one > /tmp/a/f; ln -s /etc /tmp/out; echo ready; sleep 1000',
    );
    await host.logged(id, 'ready');
    const all = host.engine.containers;
    await all.archivePut(id, '/', (await all.archiveGet(id, '/tmp/a/f')).tar);
    expect(await all.archiveStat(id, '/f')).toMatchObject({ size: 4 });
    for (const round of ['running', 'stopped']) {
      expect(await host.engine.containers.archiveStat(id, '/tmp/a/f')).toMatchObject({
        name: 'f',
        size: 4,
      });
      const { tar } = await host.engine.containers.archiveGet(id, '/tmp/a');
      await host.engine.containers.archivePut(id, `/tmp/out`, tar);
      const found = await host.engine.containers.archiveStat(id, '/etc/a/f');
      expect(found.size, round).toBe(4);
      await expect(host.engine.containers.archiveStat(id, '/none')).rejects.toMatchObject({
        kind: 'not-found',
      });
      if (round === 'running') await host.engine.containers.stop(id, { timeoutS: 0 });
    }
    expect(await host.engine.containers.changes(id)).toContainEqual({ Path: '/etc/a/f', Kind: 1 });
    await host.engine.containers.remove(id, { force: true, volumes: true });
  });
});

describe('what happens by itself', () => {
  test('health is watched', async () => {
    const events = host.engine.events({ sinceNs: 0n, signal: AbortSignal.timeout(20_000) });
    const id = await host.start('sleep 1000', {
      Healthcheck: {
        Test: ['CMD-SHELL', 'echo probing; test -f /tmp/well'],
        Interval: 50e6,
        Retries: 2,
      },
    });
    const heard: string[] = [];
    for await (const event of events) {
      if (event.Actor.ID !== id || !event.Action.startsWith('health')) continue;
      heard.push(event.Action);
      if (heard.length === 2) break;
      await host.exec(id, 'touch /tmp/well');
    }
    expect(heard).toEqual(['health_status: unhealthy', 'health_status: healthy']);
    const { State } = await host.engine.containers.inspect(id, { size: false });
    expect(State).toMatchObject({ Health: { Status: 'healthy', FailingStreak: 0 } });
    const log = (State as { Health: { Log: readonly { Output: string }[] } }).Health.Log;
    expect(log.at(-1)?.Output).toBe('probing\n');
    await host.engine.containers.remove(id, { force: true, volumes: true });
  });

  test('a container that fails is started again, as often as its policy says', async () => {
    const events = host.engine.events({ signal: AbortSignal.timeout(20_000) });
    const dies = (async (): Promise<number> => {
      let count = 0;
      for await (const { Action } of events) if (Action === 'die' && ++count === 3) break;
      return count;
    })();
    const id = await host.start('echo run; exit 1', {
      HostConfig: { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 } },
    });
    expect(await dies).toBe(3);
    expect(await host.log(id)).toBe('run\nrun\nrun\n');
    expect(await host.engine.containers.inspect(id, { size: false })).toMatchObject({
      RestartCount: 2,
      State: { Status: 'exited' },
    });
    await host.engine.containers.remove(id, { force: true, volumes: true });
  });

  test('an engine that was restarted finds its containers, and what ended meanwhile', async () => {
    const alive = await host.start('echo ready; sleep 1000', {}, 'alive');
    const dying = await host.start('echo ready; sleep 1000', {}, 'dying');
    await host.logged(dying, 'ready');
    host.engine.close();
    await host.runtime.kill(dying, 9);
    await host.runtime.wait(dying);
    await host.restart();
    const state = async (name: string): Promise<unknown> =>
      (await host.engine.containers.inspect(name, { size: false }))['State'];
    expect(await state('alive')).toMatchObject({ Status: 'running' });
    expect(await state('dying')).toMatchObject({ Status: 'exited', ExitCode: 137 });
    expect(await host.log(alive)).toBe('ready\n');
    expect(await host.exec(alive, 'echo again')).toMatchObject({ out: 'again\n' });
    await host.engine.containers.stop(alive, { timeoutS: 0 });
    expect(await state('alive')).toMatchObject({ Status: 'exited', ExitCode: 137 });
    for (const name of ['alive', 'dying']) {
      await host.engine.containers.remove(name, { force: false, volumes: true });
    }
  });

  test('resources are counted', async () => {
    const id = await host.start('echo ready; sleep 1000', { HostConfig: { Memory: 64 << 20 } });
    await host.logged(id, 'ready');
    const abort = new AbortController();
    for await (const sample of host.engine.containers.stats(id, { signal: abort.signal })) {
      expect(sample).toMatchObject({ id, memory_stats: { limit: 64 << 20 }, networks: {} });
      abort.abort();
    }
    const top = await host.engine.containers.top(id, '-ef');
    expect(JSON.stringify(top)).toContain('sleep 1000');
    await host.engine.containers.remove(id, { force: true, volumes: true });
  });
});
