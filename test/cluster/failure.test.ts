import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, TestCluster } from './cluster.ts';

let cluster: TestCluster;
const ALL = ['h1', 'h2', 'h3', 'h4', 'h5', 'h6'];

beforeAll(async () => {
  cluster = await TestCluster.start('failure');
  await cluster.ctl(
    'h1',
    'service',
    'create',
    '--name',
    'web',
    '--replicas',
    '6',
    '--publish',
    '8080:80',
    'muster/web:1',
  );
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

test('the leader is killed: writes go on within seconds and what was written is there', async () => {
  const leader = await cluster.leader('h1');
  const survivor = ['h1', 'h2', 'h3'].find((host) => host !== leader) ?? '';
  await cluster.api(survivor, 'POST', '/configs/create', { Name: 'before', Data: 'eA==' });
  await cluster.host(leader).kill('manager');
  // Who asks the host of the dead manager is answered by the one that takes its place.
  const onItsHost = cluster.docker(leader, 'service', 'ls');
  const begun = performance.now();
  await eventually('a write', async () => {
    await cluster.api(survivor, 'POST', '/configs/create', { Name: 'after', Data: 'eA==' });
    return true;
  });
  expect(performance.now() - begun).toBeLessThan(20_000);
  expect(await cluster.ctl(survivor, 'config', 'ls')).toMatch(
    /before[\s\S]*after|after[\s\S]*before/,
  );
  expect(await onItsHost).toContain('web');
  await eventually(`the manager of ${leader} to be back`, async () => {
    const nodes = await cluster.nodes(survivor);
    return nodes.filter((node) => node.ManagerStatus?.Reachability === 'reachable').length === 3;
  });
});

/** A running task of `web` on a host that is no manager: where they are depends on how the hosts fared before. */
async function taskOfWorker(): Promise<{ host: string; taskId: string; containerId: string }> {
  const tasks = await cluster.waitRunning('web', 6);
  const workers = (await cluster.nodes()).filter((node) => node.ManagerStatus === undefined);
  for (const { ID, Description, Status } of workers) {
    const task = tasks.find(({ NodeID }) => NodeID === ID && Status.State === 'ready');
    const containerId = task?.Status.ContainerStatus?.ContainerID;
    if (task && containerId) return { host: Description.Hostname, taskId: task.ID, containerId };
  }
  throw new Error('no worker runs a task of web');
}

test('an agent alone is killed: its containers keep running and are taken over', async () => {
  const { host } = await taskOfWorker();
  const onHost = async (): Promise<string> => await cluster.docker(host, 'ps', '-q', '--no-trunc');
  const before = await onHost();
  await cluster.host(host).kill('agent');
  await cluster.host(host).start();
  expect(await onHost()).toBe(before);
  await cluster.waitRunning('web', 6);
});

test('an agent is stopped for an upgrade: nobody replaces its tasks, and it takes them over', async () => {
  const { host } = await taskOfWorker();
  const before = await cluster.docker(host, 'ps', '-q', '--no-trunc');
  await cluster.host(host).stop();
  // Longer than the silence after which a node counts as down.
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  expect((await cluster.nodes()).every((node) => node.Status.State === 'ready')).toBe(true);
  await cluster.host(host).start();
  await cluster.waitRunning('web', 6);
  expect(await cluster.docker(host, 'ps', '-q', '--no-trunc')).toBe(before);
});

/** A stack of one task, which runs on that host. */
async function startOn(host: string, name: string): Promise<void> {
  const label = ['--label', `com.docker.stack.namespace=${name}`];
  const where = ['--constraint', `node.hostname == ${host}`, '--detach'];
  await cluster.ctl('h1', 'service', 'create', '--name', name, ...label, ...where, 'muster/web:1');
  await cluster.waitRunning(name, 1);
}

test('a worker loses its power: its tasks run elsewhere, and it is welcome back', async () => {
  const { host: lost } = await taskOfWorker();
  await startOn(lost, 'left');
  const node = (await cluster.nodes()).find((each) => each.Description.Hostname === lost);
  await cluster.host(lost).kill('all');
  await eventually('six tasks on the others', async () => {
    const running = await cluster.running('web');
    return running.length === 6 && running.every((task) => task.NodeID !== node?.ID);
  });
  // A removal does not wait for it; its task, which a partition could hide, stays known until it has stopped.
  expect(await cluster.ctl('h1', 'stack', 'rm', 'left')).toContain(`Node ${lost} is down`);
  const filters = encodeURIComponent('{"label":["com.docker.stack.namespace=left"]}');
  const left = async (): Promise<number> =>
    (await cluster.api<unknown[]>('h1', 'GET', `/tasks?filters=${filters}`)).length;
  expect(await left()).toBe(1);
  await cluster.host(lost).start();
  await eventually(`${lost} to be ready`, async () =>
    (await cluster.nodes()).every((each) => each.Status.State === 'ready'),
  );
  await eventually('the removed task to be gone', async () => (await left()) === 0);
  expect(await cluster.docker(lost, 'ps', '-q')).toBe('');
});

test('no manager is left: what ends on the other hosts starts again there, and they say so later', async () => {
  const managers = ['h1', 'h2', 'h3'];
  const { host: worker, taskId, containerId } = await taskOfWorker();
  const pid = async (): Promise<number> =>
    Number(await cluster.docker(worker, 'inspect', '-f', '{{.State.Pid}}', containerId));
  const first = await pid();
  const log = join(cluster.host(worker).dataDir, 'agent.log');
  const before = readFileSync(log).length;
  await Promise.all(managers.map((host) => cluster.host(host).kill('all')));
  await eventually(`${worker} to notice`, async () =>
    readFileSync(log).subarray(before).includes('manager lost'),
  );
  await cluster.docker(worker, 'kill', containerId);
  await eventually('its container to run again', async () => ![0, first].includes(await pid()));
  const second = await pid();
  await Promise.all(managers.map((host) => cluster.host(host).start()));
  await eventually('a manager that knows', async () => {
    const now = (await cluster.running('web')).find(({ ID }) => ID === taskId);
    return now?.Status.Message?.startsWith('started again') === true;
  });
  await cluster.waitRunning('web', 6);
  expect(await pid()).toBe(second);
});

test('every host loses its power: after the start everything acknowledged is there and converges', async () => {
  await cluster.ctl('h1', 'config', 'create', 'kept', '/etc/hostname');
  await Promise.all(ALL.map((host) => cluster.host(host).kill('all')));
  await Promise.all(ALL.map((host) => cluster.host(host).start()));
  await eventually('an answer', async () =>
    (await cluster.ctl('h1', 'config', 'ls')).includes('kept'),
  );
  await cluster.waitRunning('web', 6);
  await eventually('an answer of the mesh', async () => {
    const done = await cluster.inside(
      'h1',
      'wget',
      '-q',
      '-T',
      '2',
      '-O',
      '-',
      `http://${cluster.host('h2').address}:8080/`,
    );
    return done.out.includes('hello from');
  });
});
