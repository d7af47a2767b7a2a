import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TaskEvent } from './task-engine.ts';
import { TestHost } from './test-host.ts';

let host: TestHost;
beforeAll(async () => {
  host = await TestHost.open();
});
afterAll(() => host.close());

async function logOf(taskId: string): Promise<string> {
  let text = '';
  for await (const { data } of host.engine.tasks.taskLogs(taskId)) text += data.toString();
  return text;
}

test('a task runs with secrets, configs, templates and labels, and leaves nothing', async () => {
  const { tasks } = host.engine;
  const spec = host.task(
    'cat /run/secrets/password /etc/app.conf; stat -c "%a %u %g" /run/secrets/password /etc/app.conf; echo $WHO; hostname; touch /run/secrets/password',
    {
      secrets: new Map([['s1', Buffer.from('hidden\n')]]),
      configs: new Map([['c1', Buffer.from('shown\n')]]),
      container: {
        Image: 'busybox',
        Hostname: '{{.Node.Hostname}}-{{.Task.Slot}}',
        Env: ['WHO={{.Service.Name}} on {{.Node.ID}}'],
        Secrets: [
          {
            SecretID: 's1',
            SecretName: 'password',
            File: { Name: 'password', UID: '5', GID: '6', Mode: 0o400 },
          },
        ],
        Configs: [{ ConfigID: 'c1', ConfigName: 'conf', File: { Name: '/etc/app.conf' } }],
      },
    },
  );
  const events: TaskEvent[] = [];
  const forget = tasks.onTaskEvent((event) => events.push(event));
  expect(await tasks.prepareImage('busybox')).toMatch(/^sha256:/);
  const created = await tasks.createTask(spec);
  expect(created).toMatchObject({ taskId: spec.taskId, state: 'created', pid: 0, health: 'none' });
  expect(await tasks.createTask(spec)).toEqual(created);
  await tasks.startTask(spec.taskId);
  const ended = await tasks.waitTask(spec.taskId);
  expect(ended).toMatchObject({ state: 'exited', exitCode: 1 });
  expect(readdirSync(join(host.dir, 'run/secrets'))).toEqual([]);
  expect(await logOf(spec.taskId)).toMatch(
    /^hidden\nshown\n400 5 6\n444 0 0\nweb on node1\ntest-host-1\n.*Read-only file system\n$/,
  );
  const inspect = await host.engine.containers.inspect(spec.taskName, { size: false });
  expect(inspect['Config']).toMatchObject({
    Labels: {
      'com.docker.swarm.task.id': spec.taskId,
      'com.docker.swarm.service.name': 'web',
      'com.docker.swarm.node.id': 'node1',
    },
  });
  await tasks.removeTask(spec.taskId);
  await tasks.removeTask(spec.taskId);
  expect(tasks.task(spec.taskId)).toBeUndefined();
  expect(events.map(({ kind }) => kind)).toEqual(['started', 'exited', 'removed']);
  forget();
});

test('a task may use the devices it holds and no others', async () => {
  const { tasks } = host.engine;
  const folder = mkdtempSync(join(tmpdir(), 'muster-devices-'));
  const held = join(folder, 'held');
  const other = join(folder, 'other');
  // Minor numbers of the memory driver that no container has by itself: kmsg and port.
  execFileSync('mknod', [held, 'c', '1', '11']);
  execFileSync('mknod', [other, 'c', '1', '4']);
  const spec = host.task(
    `: > ${held} && echo opened; ls ${other}; mknod /made c 1 4 && : > /made`,
    {
      devices: [held],
    },
  );
  await tasks.createTask(spec);
  await tasks.startTask(spec.taskId);
  await tasks.waitTask(spec.taskId);
  expect(await logOf(spec.taskId)).toMatch(
    /^opened\n.*other: No such file.*\n.*\/made: Operation not permitted\n$/,
  );
  await tasks.removeTask(spec.taskId);
  const gone = host.task('true', { devices: [`${held}x`] });
  await tasks.createTask(gone);
  await expect(tasks.startTask(gone.taskId)).rejects.toThrow('error gathering device information');
  rmSync(folder, { recursive: true });
});

test('a task whose image is nowhere says so', async () => {
  await expect(host.engine.tasks.prepareImage('127.0.0.1:1/none:1')).rejects.toThrow(
    'No such image: 127.0.0.1:1/none:1',
  );
});

test("a task is healthy only after its check, and fails with Docker's words", async () => {
  const { tasks } = host.engine;
  const check = (test: string): { Test: readonly string[]; Interval: number; Retries: number } => ({
    Test: ['CMD-SHELL', test],
    Interval: 30e6,
    Retries: 1,
  });
  const well = host.task('sleep 1000', {
    container: { Image: 'busybox', Healthcheck: check('true') },
  });
  const sick = host.task('sleep 1000', {
    container: { Image: 'busybox', Healthcheck: check('false') },
  });
  const short = host.task('exit 4', {
    container: { Image: 'busybox', Healthcheck: check('true') },
  });
  for (const spec of [well, sick, short]) {
    await tasks.createTask(spec);
    await tasks.startTask(spec.taskId);
  }
  await tasks.waitTaskHealthy(well.taskId);
  expect(tasks.task(well.taskId)).toMatchObject({ state: 'running', health: 'healthy' });
  await expect(tasks.waitTaskHealthy(sick.taskId)).rejects.toThrow(
    'dockerexec: unhealthy container',
  );
  await expect(tasks.waitTaskHealthy(short.taskId)).rejects.toThrow('task: non-zero exit (4)');
  await host.restart();
  expect(
    host.engine.tasks.tasks().map(({ taskId, state, health }) => [taskId, state, health]),
  ).toEqual(
    expect.arrayContaining([
      [well.taskId, 'running', 'healthy'],
      [short.taskId, 'exited', 'none'],
    ]),
  );
  for (const spec of [well, sick, short]) await host.engine.tasks.removeTask(spec.taskId);
});

test('a task is stopped within its grace period', async () => {
  const { tasks } = host.engine;
  const spec = host.task('trap "" TERM; echo ready; while :; do sleep 0.05; done', {
    container: { Image: 'busybox', StopGracePeriod: 200e6 },
  });
  const { containerId } = await tasks.createTask(spec);
  await tasks.startTask(spec.taskId);
  await host.logged(containerId, 'ready');
  const begin = performance.now();
  await tasks.stopTask(spec.taskId);
  expect(performance.now() - begin).toBeGreaterThan(190);
  expect(await tasks.waitTask(spec.taskId)).toMatchObject({ exitCode: 137 });
  await tasks.removeTask(spec.taskId);
});
