import { mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  createCertificateRequest,
  createRoot,
  identityOf,
  issueNodeCertificate,
} from '../ca/index.ts';
import type { InstantMs, NodeRole, TaskId, TaskStatus, Version } from '../model/index.ts';
import type { Identity } from '../rpc/index.ts';
import {
  assignment,
  bench,
  cleanUp,
  eventually,
  FakeManager,
  type Identities,
  NET,
  onNet,
  SECRET,
  secretObject,
  table,
  WORKER,
} from './bench.ts';

let identities: Identities;
beforeAll(async () => {
  const [clusterId, now] = ['c'.repeat(25), Date.now()];
  const root = await createRoot({ clusterId, now });
  const identity = async (nodeId: string, role: NodeRole): Promise<Identity> => {
    const { csrPem, keyPem } = await createCertificateRequest();
    const request = { root, csrPem, nodeId, role, clusterId, now };
    const certificatePem = await issueNodeCertificate(request);
    return identityOf({ certificatePem, keyPem, rootPem: root.certificatePem });
  };
  identities = {
    manager: await identity('m'.repeat(25), 'manager'),
    worker: await identity(WORKER, 'worker'),
  };
});
afterEach(cleanUp);

describe('task', () => {
  it('goes through all its states to running, with everything its container needs', async () => {
    const { manager, engine } = await bench(identities);
    const task = assignment('t1', onNet, true);
    manager.assign({ tasks: [task], secrets: [secretObject], networks: [table] }, true);
    const status = await manager.reaches('t1', 'running');
    expect(status).toMatchObject({ message: 'started', containerId: 'c-t1', pid: 42 });
    expect(engine.calls).toEqual(['pull nginx', 'create t1', 'start t1']);
    const spec = engine.specs.get('t1');
    expect(spec).toMatchObject({
      taskName: 'web.3.t1',
      slot: 3,
      nodeHostname: 'host',
      networks: [{ networkId: NET, networkName: 'front', addresses: ['10.0.1.5/24'] }],
      hostPorts: [{ protocol: 'tcp', targetPort: 80, publishedPort: 8080 }],
    });
    expect(Buffer.from(spec?.secrets.get(SECRET) ?? []).toString()).toBe('secret');
  });

  it('pulls its image with the credentials of its service', async () => {
    const { manager, engine } = await bench(identities);
    const registryAuth = { username: 'ann', password: 'pw' };
    manager.assign({ tasks: [{ ...assignment('t1'), registryAuth }] }, true);
    await manager.reaches('t1', 'running');
    expect(engine.calls[0]).toBe('pull nginx as ann');
  });

  it('is rejected when its image is nowhere', async () => {
    const { manager, engine } = await bench(identities);
    engine.missingImages.add('nginx');
    manager.assign({ tasks: [assignment('t1')] }, true);
    expect(await manager.reaches('t1', 'rejected')).toMatchObject({
      error: 'No such image: nginx',
    });
  });

  it('fails with its exit code, and completes with 0', async () => {
    const { manager, engine } = await bench(identities);
    manager.assign({ tasks: [assignment('t1'), assignment('t2')] }, true);
    await manager.reaches('t1', 'running');
    await manager.reaches('t2', 'running');
    engine.exit('t1', 2);
    engine.exit('t2', 0);
    expect(await manager.reaches('t1', 'failed')).toMatchObject({
      error: 'task: non-zero exit (2)',
      exitCode: 2,
    });
    expect(await manager.reaches('t2', 'complete')).toMatchObject({ exitCode: 0 });
  });

  it('fails when it cannot be started', async () => {
    const { manager, engine } = await bench(identities);
    engine.startError = 'no such program';
    manager.assign({ tasks: [assignment('t1')] }, true);
    expect(await manager.reaches('t1', 'failed')).toMatchObject({ error: 'no such program' });
  });

  it('runs only once it is healthy and is stopped when it turns unhealthy', async () => {
    const { manager, engine } = await bench(identities);
    engine.startHealth = 'starting';
    manager.assign({ tasks: [assignment('t1')] }, true);
    await manager.reaches('t1', 'starting');
    await eventually(() => expect(engine.task('t1')?.state).toBe('running'));
    engine.change('t1', { health: 'healthy' }, 'health');
    await manager.reaches('t1', 'running');
    engine.change('t1', { health: 'unhealthy' }, 'health');
    expect(await manager.reaches('t1', 'failed')).toMatchObject({
      error: 'dockerexec: unhealthy container',
    });
    expect(engine.calls.at(-1)).toBe('stop t1');
  });
});

describe('assignment of a task', () => {
  it('waits in ready, runs when told to, stops when told to, and goes when it is dropped', async () => {
    const { manager, engine } = await bench(identities);
    manager.assign({ tasks: [assignment('t1', { desiredState: 'ready' })] }, true);
    await manager.reaches('t1', 'ready');
    manager.assign({ tasks: [assignment('t1')] });
    await manager.reaches('t1', 'running');
    manager.assign({ tasks: [assignment('t1', { desiredState: 'shutdown' })] });
    await manager.reaches('t1', 'shutdown');
    expect(engine.task('t1')?.state).toBe('exited');
    manager.assign({ removedTasks: ['t1' as TaskId] });
    await eventually(() => expect(engine.task('t1')).toBeUndefined());
  });

  it('does not take a stop back', async () => {
    const { manager, engine } = await bench(identities);
    manager.assign({ tasks: [assignment('t1')] }, true);
    await manager.reaches('t1', 'running');
    engine.holdStops = true;
    manager.assign({ tasks: [assignment('t1', { desiredState: 'shutdown' })] });
    await eventually(() => expect(engine.calls).toContain('stop t1'));
    const sequence = manager.assign({ tasks: [assignment('t1')] });
    await eventually(() => expect(manager.heard).toContainEqual({ kind: 'acknowledge', sequence }));
    engine.exit('t1', 0);
    await manager.reaches('t1', 'shutdown');
  });

  it('gives a pull up when it is not wanted any more', async () => {
    const { manager, engine } = await bench(identities);
    engine.holdPulls = true;
    manager.assign({ tasks: [assignment('t1')] }, true);
    await manager.reaches('t1', 'preparing');
    await eventually(() => expect(engine.calls).toEqual(['pull nginx']));
    manager.assign({ tasks: [assignment('t1', { desiredState: 'shutdown' })] });
    await manager.reaches('t1', 'shutdown');
    expect(engine.tasks()).toEqual([]);
  });

  it('is not made before its secret is here', async () => {
    const { manager, engine } = await bench(identities);
    manager.assign({ tasks: [assignment('t1', {}, true)] }, true);
    await manager.reaches('t1', 'preparing');
    expect(engine.calls).toEqual([]);
    manager.assign({ secrets: [secretObject] });
    await manager.reaches('t1', 'running');
  });
});

describe('a host without managers', () => {
  const quickly = { Condition: 'on-failure', Delay: 20e6 };

  it('starts what ends again, as its policy says, and tells the next leader', async () => {
    const one = await bench(identities, { aloneAfterMs: 100, started: false });
    const worker = one.start();
    await one.manager.session();
    one.manager.assign(
      {
        tasks: [
          assignment('t1', {}, false, quickly),
          assignment('t2', {}, false, quickly),
          assignment('t3', {}, false, { ...quickly, MaxAttempts: 1 }),
        ],
      },
      true,
    );
    for (const id of ['t1', 't2', 't3']) await one.manager.reaches(id, 'running');
    one.manager.close();
    await eventually(() => expect(worker.isConnected).toBe(false));
    for (const id of ['t1', 't1', 't3']) {
      one.engine.exit(id, 1);
      await eventually(() => expect(one.engine.task(id)?.state).toBe('running'));
    }
    one.engine.exit('t2', 0);
    one.engine.exit('t3', 1);
    const next = new FakeManager(identities.manager);
    await next.listen(Number(one.manager.address.split(':')[1]));
    expect(await next.reaches('t2', 'complete')).toMatchObject({ exitCode: 0 });
    expect(await next.reaches('t3', 'failed')).toMatchObject({ exitCode: 1 });
    expect(await next.reaches('t1', 'running')).toMatchObject({
      message: 'started again 2 times while no manager was in reach',
    });
  });

  it('leaves to a manager that comes in time what has ended', async () => {
    const one = await bench(identities, { aloneAfterMs: 60_000 });
    one.manager.assign({ tasks: [assignment('t1', {}, false, quickly)] }, true);
    await one.manager.reaches('t1', 'running');
    one.manager.close();
    one.engine.exit('t1', 1);
    const next = new FakeManager(identities.manager);
    await next.listen(Number(one.manager.address.split(':')[1]));
    expect(await next.reaches('t1', 'failed')).toMatchObject({ exitCode: 1 });
    expect(one.engine.calls.filter((call) => call.startsWith('start'))).toEqual(['start t1']);
  });
});

describe('the lease of fenced tasks', () => {
  it('is waited for where it is over before a start, and no failure', async () => {
    const { manager, engine } = await bench(identities);
    engine.leaseIsOver = true;
    manager.assign({ tasks: [assignment('t1')] }, true);
    await manager.reaches('t1', 'starting');
    await eventually(() => expect(engine.calls).toContain('start t1'));
    engine.leaseIsOver = false;
    await manager.reaches('t1', 'running');
  });

  it('is not renewed before the leader said what is to stop, nor while that is being started', async () => {
    const { manager, engine } = await bench(identities);
    let start = (): void => undefined;
    engine.startsWait = new Promise((resolve) => {
      start = resolve;
    });
    manager.assign({ tasks: [assignment('t1')] }, true);
    await eventually(() => expect(engine.calls).toContain('start t1'));
    await eventually(() => expect(engine.leases).not.toEqual([]));
    manager.close();
    const next = new FakeManager(identities.manager);
    await next.listen(Number(manager.address.split(':')[1]));
    await next.session();
    engine.leases.length = 0;
    const beats = async (count: number): Promise<void> => {
      const until = next.count('heartbeat') + count;
      await eventually(() => expect(next.count('heartbeat')).toBeGreaterThanOrEqual(until));
    };
    await beats(3);
    expect(engine.leases).toEqual([]);
    next.assign({ tasks: [assignment('t1', { desiredState: 'shutdown' })] }, true);
    await beats(2);
    expect(engine.leases).toEqual([]);
    start();
    await eventually(() => expect(engine.leases).not.toEqual([]));
    await next.reaches('t1', 'shutdown');
  });
});

describe('restart of the agent', () => {
  it('takes running tasks up again, without managers, and reports them to the next leader', async () => {
    const one = await bench(identities);
    one.manager.assign(
      { tasks: [assignment('t1', onNet), assignment('t2')], networks: [table] },
      true,
    );
    await one.manager.reaches('t1', 'running');
    await one.manager.reaches('t2', 'running');
    await one.stop();
    expect(one.engine.task('t1')?.state).toBe('running');
    one.engine.exit('t2', 7);
    one.manager.close();
    one.applied.length = 0;
    one.start();
    expect(one.applied).toEqual([[table]]);
    const port = Number(one.manager.address.split(':')[1]);
    const next = new FakeManager(identities.manager);
    await next.listen(port);
    await next.session();
    await next.reaches('t1', 'running');
    expect(await next.reaches('t2', 'failed')).toMatchObject({ exitCode: 7 });
    expect(one.engine.calls.filter((call) => /^(start|stop|remove)/.test(call))).toEqual([
      'start t1',
      'start t2',
    ]);
  });

  it('applies tables that it cannot keep on its disk', async () => {
    const one = await bench(identities);
    mkdirSync(join(one.directory, 'networks.jsonl'));
    one.manager.assign({ tasks: [assignment('t1', onNet)], networks: [table] }, true);
    await one.manager.reaches('t1', 'running');
    expect(one.applied).toEqual([[table]]);
  });

  it('writes no secret to the disk', async () => {
    const one = await bench(identities);
    one.manager.assign({ tasks: [assignment('t1', {}, true)], secrets: [secretObject] }, true);
    await one.manager.reaches('t1', 'running');
    await one.stop();
    const text = readFileSync(join(one.directory, 'tasks.json'), 'utf8');
    expect(text).toContain('t1');
    expect(text).not.toContain('c2VjcmV0');
  });

  it('removes containers that the cluster does not know', async () => {
    const one = await bench(identities);
    one.manager.assign({ tasks: [assignment('t1'), assignment('t2')] }, true);
    await one.manager.reaches('t2', 'running');
    await one.manager.reaches('t1', 'running');
    await one.stop();
    rmSync(join(one.directory, 'tasks.json'));
    one.start();
    await one.manager.session(2);
    const running: TaskStatus = { state: 'running', at: 0 as InstantMs, message: 'started' };
    one.manager.assign({ tasks: [assignment('t1', { status: running })] }, true);
    await eventually(() => expect(one.engine.task('t2')).toBeUndefined());
    expect(one.engine.task('t1')?.state).toBe('running');
  });

  it('leaves nothing behind when the host leaves the cluster', async () => {
    const one = await bench(identities, { started: false });
    const worker = one.start();
    await one.manager.session();
    one.manager.assign({ tasks: [assignment('t1', onNet)], networks: [table] }, true);
    await one.manager.reaches('t1', 'running');
    await one.stop();
    await worker.removeEverything();
    expect(one.engine.tasks()).toEqual([]);
    expect(one.applied.at(-1)).toEqual([]);
    expect(JSON.parse(readFileSync(join(one.directory, 'tasks.json'), 'utf8')).tasks).toEqual([]);
  });
});

it('knows for good that a task has ended when a manager hears of it', async () => {
  const { manager, engine, directory } = await bench(identities);
  const states = (): readonly string[] => {
    const { tasks } = JSON.parse(readFileSync(join(directory, 'tasks.json'), 'utf8'));
    return tasks.map(({ status }: { readonly status: TaskStatus }) => status.state);
  };
  const kept: (readonly string[])[] = [];
  manager.assign({ tasks: [assignment('t1')] }, true);
  await manager.reaches('t1', 'running');
  // Nothing else is about to be saved.
  await eventually(() => expect(states()).toEqual(['running']));
  manager.onHeard = ({ kind }): void => {
    if (kind === 'report') kept.push(states());
  };
  engine.exit('t1', 2);
  await manager.reaches('t1', 'failed');
  expect(kept).toEqual([['failed']]);
});

it('writes its tasks anew for tasks only, not whenever a backend comes or goes elsewhere', async () => {
  const one = await bench(identities);
  const written = (): number => statSync(join(one.directory, 'tasks.json')).ino;
  one.manager.assign({ tasks: [assignment('t1', onNet)], networks: [table] }, true);
  await one.manager.reaches('t1', 'running');
  await eventually(() =>
    expect(readFileSync(join(one.directory, 'tasks.json'), 'utf8')).toContain('running'),
  );
  const before = written();
  const next = { ...table, revision: 2 as Version };
  one.manager.assign({ networks: [next] });
  await eventually(() => expect(one.applied.at(-1)).toEqual([next]));
  // By then it would have been saved.
  const beats = one.manager.count('heartbeat');
  await eventually(() => expect(one.manager.count('heartbeat')).toBeGreaterThan(beats + 1));
  expect(written()).toBe(before);
  expect(readFileSync(join(one.directory, 'networks.jsonl'), 'utf8')).toContain('"revision":2');
});
