import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, type TaskJson, TestCluster } from './cluster.ts';
import { CopyWatch } from './copies.ts';

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start('policies', { managers: 1, agents: 2 });
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

const SLEEP = ['muster/web:1', 'sh', '-c', "trap 'exit 0' TERM; while :; do sleep 1; done"];

async function create(...args: readonly string[]): Promise<void> {
  await cluster.ctl('h1', 'service', 'create', '--detach', ...args);
}

test('labels of the stock client, flags of ctl and constraints decide where tasks run', async () => {
  await cluster.ctl('h1', 'node', 'update', '--label-add', 'disk=ssd', 'h2');
  await cluster.docker(
    'h1',
    'service',
    'create',
    '-d',
    '--name',
    'fast',
    '--replicas',
    '2',
    '--label',
    'muster.prefer=node.labels.disk == ssd',
    ...SLEEP,
  );
  const fast = await cluster.waitRunning('fast', 2);
  expect(await Promise.all(fast.map((task) => cluster.hostOf(task)))).toEqual(['h2', 'h2']);
  const typo = await cluster.tryDocker(
    'h1',
    'service',
    'create',
    '-d',
    '--label',
    'muster.prefers=x',
    ...SLEEP,
  );
  expect(typo.code).toBe(1);
  expect(typo.err).toContain('label muster.prefers is not known');
  await create(
    '--name',
    'packed',
    '--replicas',
    '2',
    '--strategy',
    'binpack',
    '--constraint',
    'node.hostname =~ ^h[13]$',
    '--reserve-memory',
    '64m',
    ...SLEEP,
  );
  const packed = await cluster.waitRunning('packed', 2);
  const hosts = new Set(await Promise.all(packed.map((task) => cluster.hostOf(task))));
  expect(hosts.size).toBe(1);
  expect([...hosts][0]).toMatch(/^h[13]$/);
  const [one] = fast;
  expect(await cluster.ctl('h1', 'explain', 'task', one?.ID ?? '')).toContain(
    'meets 1 preferences',
  );
  await cluster.ctl('h1', 'service', 'rm', 'fast', 'packed');
});

test('a service goes back to any of its revisions', async () => {
  await create('--name', 'web', '--replicas', '2', ...SLEEP);
  await cluster.waitRunning('web', 2);
  await cluster.ctl(
    'h1',
    'service',
    'update',
    '--quiet',
    '--update-monitor',
    '500ms',
    '--update-parallelism',
    '0',
    '--image',
    'muster/web:2',
    'web',
  );
  await cluster.ctl('h1', 'service', 'update', '--detach', '--label-add', 'third=yes', 'web');
  const history = await cluster.ctl('h1', 'service', 'history', 'web');
  expect(
    history
      .split('\n')
      .slice(1, 4)
      .map((line) => line.split(/\s+/)[0]),
  ).toEqual(['3', '2', '1']);
  await cluster.ctl('h1', 'service', 'rollback', '--quiet', '--to', '1', 'web');
  const spec = JSON.parse(await cluster.ctl('h1', 'service', 'inspect', 'web')) as readonly {
    readonly Spec: {
      readonly TaskTemplate: { readonly ContainerSpec: { readonly Image: string } };
    };
    readonly UpdateStatus: { readonly State: string; readonly Message: string };
  }[];
  expect(spec[0]?.Spec.TaskTemplate.ContainerSpec.Image).toContain('muster/web:1');
  expect(spec[0]?.UpdateStatus.State).toBe('rollback_completed');
  const none = await cluster.tryCtl('h1', 'service', 'rollback', '--to', '99', 'web');
  expect(none.err).toContain('service web has no revision 99');
  await cluster.ctl('h1', 'service', 'rm', 'web');
});

test('an update that fits nowhere ends by its deadline with the reason', async () => {
  await create(
    '--name',
    'stuck',
    '--progress-deadline',
    '3s',
    '--update-failure-action',
    'rollback',
    ...SLEEP,
  );
  await cluster.waitRunning('stuck', 1);
  await cluster.ctl('h1', 'service', 'update', '--detach', '--reserve-cpu', '500', 'stuck');
  await eventually('the rollback', async () => {
    const { UpdateStatus: status } = await cluster.api<{
      UpdateStatus?: { State: string; Message: string };
    }>('h1', 'GET', '/services/stuck');
    return status?.State === 'rollback_completed';
  });
  await cluster.waitRunning('stuck', 1);
  await cluster.ctl('h1', 'service', 'rm', 'stuck');
});

test('draining a node starts the replacements first where the service asks for it', async () => {
  await create('--name', 'kept', '--replicas', '3', '--min-available', '3', ...SLEEP);
  await cluster.waitRunning('kept', 3);
  let fewest = 3;
  let watching = true;
  const watch = (async (): Promise<void> => {
    while (watching) {
      fewest = Math.min(fewest, (await cluster.running('kept')).length);
      await new Promise((settle) => setTimeout(settle, 20));
    }
  })();
  await cluster.ctl('h1', 'node', 'update', '--availability', 'drain', 'h3');
  await eventually('three tasks elsewhere', async () => {
    const tasks = await cluster.running('kept');
    const hosts = await Promise.all(tasks.map((task) => cluster.hostOf(task)));
    return hosts.length === 3 && !hosts.includes('h3');
  });
  watching = false;
  await watch;
  expect(fewest).toBe(3);
  await cluster.ctl('h1', 'service', 'rm', 'kept');
});

test('a service spreads again over a node that came later, by force and by itself', async () => {
  const perHost = async (service: string): Promise<string> => {
    const tasks = await cluster.running(service);
    const hosts = await Promise.all(tasks.map((task) => cluster.hostOf(task)));
    return ['h1', 'h2', 'h3'].map((host) => hosts.filter((one) => one === host).length).join('');
  };
  const spreads = (service: string): Promise<void> =>
    eventually(`${service} on three hosts`, async () =>
      ['112', '121', '211'].includes(await perHost(service)),
    );
  await cluster.ctl('h1', 'node', 'update', '--availability', 'drain', 'h3');
  for (const name of ['forced', 'moved']) await create('--name', name, '--replicas', '4', ...SLEEP);
  for (const name of ['forced', 'moved']) await cluster.waitRunning(name, 4);
  await cluster.ctl('h1', 'node', 'update', '--availability', 'active', 'h3');
  const force = ['--force', '--update-monitor', '100ms', '--update-parallelism', '2', 'forced'];
  await cluster.docker('h1', 'service', 'update', '-d', ...force);
  await spreads('forced');
  expect(await perHost('moved')).toBe('220');
  const every = ['service', 'rebalance', '--every', '1s'];
  expect(await cluster.ctl('h1', ...every, '--dry-run', 'moved')).toMatch(
    /start moved\.\d on h3\n.*stop +moved\.\d on h[12]\nrunning: 4 now, at least 4 on the way/,
  );
  expect(await perHost('moved')).toBe('220');
  await cluster.ctl('h1', ...every, 'moved');
  await spreads('moved');
  await eventually('rest', async () =>
    (await cluster.ctl('h1', 'explain', 'service', 'moved')).includes(
      'rebalance: no node could have clearly more of its tasks',
    ),
  );
  await cluster.ctl('h1', 'service', 'rebalance', '--off', 'moved');
  expect(await cluster.ctl('h1', 'explain', 'service', 'moved')).not.toContain('rebalance');
  await cluster.ctl('h1', 'service', 'rm', 'forced', 'moved');
});

test('an agent that stands still and goes on never leaves two copies of a fenced slot', async () => {
  await cluster.ctl('h1', 'node', 'update', '--availability', 'active', 'h3');
  // The shell keeps its command line; what it starts has another.
  const program = [
    'muster/web:1',
    'sh',
    '-c',
    ": copy-of-db; trap 'exit 0' TERM; while :; do sleep 1; done",
  ];
  const words = ['--name', 'db', '--fence', '5s', '--constraint', 'node.role == worker'];
  await cluster.ctl('h1', 'service', 'create', '--detach', ...words, ...program);
  const [old] = await cluster.waitRunning('db', 1);
  if (!old) throw new Error('no task');
  const frozen = cluster.host(await cluster.hostOf(old));
  const copies = new CopyWatch('copy-of-db; trap');
  frozen.freeze('agent', 'SIGSTOP');
  try {
    let fresh: typeof old | undefined;
    await eventually('the replacement', async () => {
      fresh = (await cluster.running('db')).find(({ ID }) => ID !== old.ID);
      return fresh !== undefined;
    });
    frozen.freeze('agent', 'SIGCONT');
    await eventually('the agent to say what became of the old task', async () => {
      const path = `/tasks/${old.ID}`;
      const task = await cluster.api<{ Status: { State: string } }>('h1', 'GET', path);
      const nodes = await cluster.nodes();
      const heard = nodes.every(({ Status }) => Status.State === 'ready');
      return heard && ['failed', 'shutdown'].includes(task.Status.State);
    });
    expect((await cluster.running('db')).map(({ ID }) => ID)).toEqual([fresh?.ID]);
    const ended = await cluster.api<TaskJson>('h1', 'GET', `/tasks/${old.ID}`);
    expect(ended.Status).toMatchObject({
      State: 'shutdown',
      Err: "killed: no manager was heard for as long as the service's fence",
    });
    expect(copies.seen).toEqual(new Set([pidOf(old), pidOf(fresh)]));
  } finally {
    frozen.freeze('agent', 'SIGCONT');
    await copies.stop();
    await cluster.ctl('h1', 'service', 'rm', 'db');
  }
  expect(copies.samples).toBeGreaterThan(100);
  expect(copies.most).toBe(1);
});

test('a host that lost its power and comes back just when it is given up never leaves two copies', async () => {
  const words = ['--name', 'cut', '--fence', '5s', '--constraint', 'node.role == worker'];
  const loop = ": copy-of-cut; trap 'exit 0' TERM; while :; do sleep 1; done";
  await create(...words, 'muster/web:1', 'sh', '-c', loop);
  await cluster.waitRunning('cut', 1);
  const copies = new CopyWatch('copy-of-cut; trap');
  try {
    for (const givenUp of ['is down', 'is replaced']) {
      const [old] = await cluster.running('cut');
      if (!old) throw new Error('no task');
      const name = await cluster.hostOf(old);
      await cluster.host(name).kill('all');
      await eventually(`${name} ${givenUp}`, async () => {
        const nodes = await cluster.nodes();
        const down = nodes.some(({ ID, Status }) => ID === old.NodeID && Status.State === 'down');
        if (givenUp === 'is down') return down;
        return (await cluster.running('cut')).some(({ ID }) => ID !== old.ID);
      });
      await cluster.host(name).start();
      await eventually('the old task to have ended and one other to run', async () => {
        const { Status } = await cluster.api<TaskJson>('h1', 'GET', `/tasks/${old.ID}`);
        const running = await cluster.running('cut');
        const others = running.filter(({ ID }) => ID !== old.ID).length;
        return ['failed', 'shutdown'].includes(Status.State) && others === 1;
      });
      await eventually(`${name} to be ready`, async () =>
        (await cluster.nodes()).every(({ Status }) => Status.State === 'ready'),
      );
    }
  } finally {
    await copies.stop();
    await cluster.ctl('h1', 'service', 'rm', 'cut');
  }
  expect(copies.seen.size).toBeGreaterThanOrEqual(3);
  expect(copies.most).toBe(1);
});

function pidOf(task: TaskJson | undefined): number | undefined {
  return task?.Status.ContainerStatus?.PID;
}
