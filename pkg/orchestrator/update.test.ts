import { expect, test } from 'vitest';
import { DecideCluster, webSpec, withImage, withReplicas } from '../../test/sim/decide-cluster.ts';
import {
  type ServiceId,
  type ServiceSpec,
  type TaskId,
  type UpdateConfigSpec,
  updateObject,
} from '../model/index.ts';

const SECOND_NS = 1e9;

interface Setup {
  readonly cluster: DecideCluster;
  readonly web: ServiceId;
}

/** A running service of three replicas on three nodes. */
function running(update: UpdateConfigSpec = {}, change: Partial<ServiceSpec> = {}): Setup {
  const cluster = new DecideCluster({ nodes: 3 });
  const web = cluster.createService(webSpec({ UpdateConfig: update, ...change }));
  cluster.converge();
  return { cluster, web };
}

function imagesRunning({ cluster, web }: Setup): readonly string[] {
  return cluster
    .running(web)
    .map(
      (task) =>
        cluster.tables.revision(web, task.specVersion)?.spec.TaskTemplate?.ContainerSpec?.Image ??
        '',
    );
}

/** Everything may run until the update no longer is under way. */
function finish({ cluster, web }: Setup): void {
  for (let round = 0; round < 100; round++) {
    cluster.converge();
    if (!['updating', 'rollback_started'].includes(cluster.service(web).updateStatus?.state ?? ''))
      return;
    cluster.advance(1000);
  }
  throw new Error('update never ends');
}

/** The newest task that has been placed fails. */
function failNewest({ cluster, web }: Setup): TaskId {
  const placed = cluster.runnable(web).filter((task) => task.status.state === 'assigned');
  const task = placed.at(-1);
  if (!task) throw new Error('nothing to fail');
  cluster.report(task.id, 'failed', 'task: non-zero exit (1)');
  cluster.settle();
  return task.id;
}

test('a new image replaces every task and then the update is completed', () => {
  const setup = running();
  const { cluster, web } = setup;
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.settle();
  expect(cluster.service(web).updateStatus).toMatchObject({
    state: 'updating',
    message: 'update in progress',
  });
  finish(setup);
  expect(imagesRunning(setup)).toEqual(['nginx:2', 'nginx:2', 'nginx:2']);
  expect(cluster.service(web).updateStatus).toMatchObject({
    state: 'completed',
    message: 'update completed',
    failures: 0,
  });
});

test('stop-first: the replacement is prepared, and runs when the old task has really stopped', () => {
  const { cluster, web } = running();
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.settle();
  const slot = cluster.tasks(web).filter((task) => task.slot === 1);
  expect(slot.map((task) => task.desiredState)).toEqual(['shutdown', 'ready']);
  expect(cluster.runnable(web).filter((task) => task.desiredState === 'ready').length).toBe(1);
  const [old, fresh] = slot;
  if (!old || !fresh) throw new Error('two tasks expected');
  cluster.report(fresh.id, 'ready');
  cluster.settle();
  expect(cluster.tables.get('task', fresh.id)?.desiredState).toBe('ready');
  cluster.report(old.id, 'shutdown');
  cluster.settle();
  expect(cluster.tables.get('task', fresh.id)?.desiredState).toBe('running');
});

test('start-first: the old task is stopped only when its replacement runs', () => {
  const { cluster, web } = running({ Order: 'start-first' });
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.settle();
  const slot = cluster.tasks(web).filter((task) => task.slot === 1);
  expect(slot.map((task) => task.desiredState)).toEqual(['running', 'running']);
  const [old, fresh] = slot;
  if (!old || !fresh) throw new Error('two tasks expected');
  cluster.report(fresh.id, 'running');
  cluster.settle();
  expect(cluster.tables.get('task', old.id)?.desiredState).toBe('shutdown');
  expect(cluster.running(web).length).toBe(3);
});

test('start-first on a network: the old task stays until the new one can be reached from everywhere', () => {
  for (const how of ['acknowledged', 'nobody answers'] as const) {
    const cluster = new DecideCluster({ nodes: 3 });
    const network = cluster.addNetwork({ Name: 'front', Driver: 'overlay' });
    const Networks = [{ Target: network.id }];
    const base = webSpec({ UpdateConfig: { Order: 'start-first' } });
    const TaskTemplate = { ...base.TaskTemplate, Networks };
    const web = cluster.createService({ ...base, TaskTemplate });
    cluster.converge();
    cluster.advance(10_000);
    cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
    cluster.settle();
    const [old, fresh] = cluster.tasks(web).filter((task) => task.slot === 1);
    if (!old || !fresh) throw new Error('two tasks expected');
    cluster.report(fresh.id, 'running');
    cluster.advance(4_999);
    expect(cluster.tables.get('task', old.id)?.desiredState).toBe('running');
    const present = cluster.tables.get('task', fresh.id);
    if (how === 'nobody answers') cluster.advance(1);
    else if (present) cluster.apply([updateObject('task', { ...present, reachable: true })]);
    cluster.settle();
    expect(cluster.tables.get('task', old.id)?.desiredState).toBe('shutdown');
  }
});

test('no more than `parallelism` slots are replaced at a time, and `delay` lies between batches', () => {
  const setup = running({ Parallelism: 2, Delay: 10 * SECOND_NS });
  const { cluster, web } = setup;
  cluster.updateService(web, (spec) => withReplicas(withImage(spec, 'nginx:2'), 3));
  cluster.settle();
  const replacements = (): number =>
    cluster.tasks(web).filter((task) => task.specVersion === 2).length;
  expect(replacements()).toBe(2);
  cluster.converge();
  expect(replacements()).toBe(2);
  cluster.advance(9_999);
  expect(replacements()).toBe(2);
  cluster.advance(1);
  expect(replacements()).toBe(3);
});

test('parallelism 0 replaces all slots at once', () => {
  const { cluster, web } = running({ Parallelism: 0 });
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.settle();
  expect(cluster.runnable(web).map((task) => task.specVersion)).toEqual([2, 2, 2]);
});

test('a replacement that fails pauses the update and names the task', () => {
  const setup = running();
  const { cluster, web } = setup;
  cluster.updateService(web, (spec) => withImage(spec, 'broken'));
  cluster.settle();
  const id = failNewest(setup);
  expect(cluster.service(web).updateStatus).toMatchObject({
    state: 'paused',
    message: `update paused due to failure or early termination of task ${id}`,
  });
  cluster.converge();
  cluster.advance(60_000);
  cluster.converge();
  expect(imagesRunning(setup).filter((image) => image === 'nginx:1').length).toBe(2);
});

test('the same spec again lets a paused update go on', () => {
  const setup = running();
  const { cluster, web } = setup;
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.settle();
  failNewest(setup);
  expect(cluster.service(web).updateStatus?.state).toBe('paused');
  cluster.updateService(web, (spec) => spec);
  finish(setup);
  expect(imagesRunning(setup)).toEqual(['nginx:2', 'nginx:2', 'nginx:2']);
  expect(cluster.service(web)).toMatchObject({
    specVersion: 2,
    updateStatus: { state: 'completed' },
  });
});

test('a task that dies within its monitor period counts, one that dies later does not', () => {
  for (const [after, state] of [
    [4_000, 'paused'],
    [6_000, 'updating'],
  ] as const) {
    const { cluster, web } = running({ Delay: 3600 * SECOND_NS });
    cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
    cluster.converge();
    const fresh = cluster.running(web).find((task) => task.specVersion === 2);
    if (!fresh) throw new Error('no replacement runs');
    cluster.advance(after);
    cluster.report(fresh.id, 'failed');
    cluster.settle();
    expect(cluster.service(web).updateStatus?.state).toBe(state);
  }
});

test('failures up to the ratio are tolerated', () => {
  const setup = running({ MaxFailureRatio: 0.34 });
  const { cluster, web } = setup;
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.settle();
  failNewest(setup);
  expect(cluster.service(web).updateStatus).toMatchObject({ state: 'updating', failures: 1 });
  finish(setup);
  expect(imagesRunning(setup)).toEqual(['nginx:2', 'nginx:2', 'nginx:2']);
});

test('failure action rollback brings the old version back by itself', () => {
  const setup = running({ FailureAction: 'rollback' });
  const { cluster, web } = setup;
  const before = cluster.running(web).map((task) => task.id);
  cluster.updateService(web, (spec) => withImage(spec, 'broken'));
  cluster.settle();
  const id = failNewest(setup);
  expect(cluster.service(web).updateStatus).toMatchObject({
    state: 'rollback_started',
    message: `update rolled back due to failure or early termination of task ${id}`,
  });
  finish(setup);
  expect(imagesRunning(setup)).toEqual(['nginx:1', 'nginx:1', 'nginx:1']);
  expect(cluster.running(web).filter((task) => before.includes(task.id)).length).toBe(2);
  expect(cluster.service(web).updateStatus).toMatchObject({
    state: 'rollback_completed',
    message: 'rollback completed',
  });
});

test('a rollback that fails is paused, never rolled back', () => {
  const setup = running(
    { FailureAction: 'rollback' },
    { RollbackConfig: { FailureAction: 'rollback' } },
  );
  const { cluster, web } = setup;
  cluster.updateService(web, (spec) => withImage(spec, 'broken'));
  cluster.settle();
  failNewest(setup);
  const id = failNewest(setup);
  expect(cluster.service(web).updateStatus).toMatchObject({
    state: 'rollback_paused',
    message: `rollback paused due to failure or early termination of task ${id}`,
  });
});

test('a rollback asked for by the user returns to the previous spec, a second one returns again', () => {
  const setup = running();
  const { cluster, web } = setup;
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  finish(setup);
  cluster.rollbackService(web);
  expect(cluster.service(web).updateStatus?.message).toBe('manually requested rollback');
  finish(setup);
  expect(imagesRunning(setup)).toEqual(['nginx:1', 'nginx:1', 'nginx:1']);
  expect(cluster.service(web).updateStatus?.state).toBe('rollback_completed');
  cluster.rollbackService(web);
  finish(setup);
  expect(imagesRunning(setup)).toEqual(['nginx:2', 'nginx:2', 'nginx:2']);
});

test('labels, update policy and replicas restart nothing; a forced update restarts everything', () => {
  const setup = running();
  const { cluster, web } = setup;
  const before = cluster.running(web).map((task) => task.id);
  cluster.updateService(web, (spec) => ({
    ...spec,
    Labels: { a: 'b' },
    UpdateConfig: { Parallelism: 2 },
  }));
  finish(setup);
  expect(cluster.running(web).map((task) => task.id)).toEqual(before);
  cluster.updateService(web, (spec) => ({
    ...spec,
    TaskTemplate: { ...spec.TaskTemplate, ForceUpdate: 1 },
  }));
  finish(setup);
  const after = cluster.running(web).map((task) => task.id);
  expect(after.filter((id) => before.includes(id))).toEqual([]);
});

test('an update in the middle of another one ends at the newest version', () => {
  const setup = running({ Order: 'start-first' });
  const { cluster, web } = setup;
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.settle();
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:3'));
  finish(setup);
  expect(imagesRunning(setup)).toEqual(['nginx:3', 'nginx:3', 'nginx:3']);
});

test('while an update is paused, a lost task of the old version comes back in the old version', () => {
  const setup = running();
  const { cluster, web } = setup;
  cluster.updateService(web, (spec) => withImage(spec, 'broken'));
  cluster.settle();
  failNewest(setup);
  const old = cluster.running(web).find((task) => task.specVersion === 1);
  if (!old?.nodeId) throw new Error('an old task should run');
  cluster.setNodeState(old.nodeId, 'down');
  cluster.settle();
  const replacement = cluster.runnable(web).find((task) => task.slot === old.slot);
  expect(replacement?.specVersion).toBe(1);
});

test('a new leader continues the update with the same counts', () => {
  const setup = running({ Delay: 10 * SECOND_NS });
  const { cluster, web } = setup;
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.converge();
  const status = cluster.service(web).updateStatus;
  cluster.elect();
  expect(cluster.pass()).toEqual([]);
  expect(cluster.service(web).updateStatus).toEqual(status);
  finish(setup);
  expect(imagesRunning(setup)).toEqual(['nginx:2', 'nginx:2', 'nginx:2']);
});

test('a rollback keeps an old task that still runs and only stops what was to replace it', () => {
  const setup = running({ Order: 'start-first', Parallelism: 2, FailureAction: 'rollback' });
  const { cluster, web } = setup;
  const before = cluster.running(web).map((task) => task.id);
  cluster.updateService(web, (spec) => withImage(spec, 'broken'));
  cluster.settle();
  failNewest(setup);
  expect(cluster.runnable(web).map((task) => task.id)).toEqual(before);
  finish(setup);
  expect(cluster.running(web).map((task) => task.id)).toEqual(before);
});

test('a replacement whose node is lost is watched in its successor', () => {
  const { cluster, web } = running();
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.settle();
  const [entry] = cluster.service(web).updateStatus?.active ?? [];
  const replacement = entry && cluster.tables.get('task', entry.taskId);
  if (!replacement?.nodeId) throw new Error('nothing is being replaced');
  cluster.setNodeState(replacement.nodeId, 'down');
  cluster.settle();
  const status = cluster.service(web).updateStatus;
  const watched = status?.active.find(({ slot }) => slot === entry?.slot);
  expect(status).toMatchObject({ state: 'updating', failures: 0 });
  expect(watched && cluster.tables.get('task', watched.taskId)).toMatchObject({
    slot: replacement.slot,
    specVersion: 2,
    desiredState: expect.stringMatching(/ready|running/),
  });
});

test('an update that pauses leaves no slot with two running tasks of older versions', () => {
  const setup = running({ Order: 'start-first', Parallelism: 2 });
  const { cluster, web } = setup;
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.settle();
  cluster.updateService(web, (spec) => ({
    ...withImage(spec, 'broken'),
    UpdateConfig: { Order: 'start-first', Parallelism: 1 },
  }));
  cluster.settle();
  failNewest(setup);
  expect(cluster.service(web).updateStatus?.state).toBe('paused');
  cluster.converge();
  expect(cluster.running(web).length).toBe(3);
});
