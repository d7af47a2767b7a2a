import { expect, test } from 'vitest';
import { DecideCluster, webSpec, withImage, withReplicas } from '../../test/sim/decide-cluster.ts';
import type { ServiceId, ServiceSpec, Task, TaskTemplateSpec } from '../model/index.ts';

const SECOND_NS = 1e9;

interface Setup {
  readonly cluster: DecideCluster;
  readonly web: ServiceId;
}

function running(RestartPolicy: TaskTemplateSpec['RestartPolicy'] = {}, nodes = 2): Setup {
  const cluster = new DecideCluster({ nodes });
  const spec: ServiceSpec = webSpec({
    replicas: 1,
    TaskTemplate: { ContainerSpec: { Image: 'nginx' }, RestartPolicy },
  });
  const web = cluster.createService(spec);
  cluster.converge();
  return { cluster, web };
}

function end({ cluster, web }: Setup, state: 'failed' | 'complete' | 'rejected'): void {
  const [task] = cluster.running(web);
  if (!task) throw new Error('nothing runs');
  cluster.report(task.id, state, 'task: non-zero exit (1)');
  cluster.settle();
}

test('a failed task is replaced at once but runs only after the delay', () => {
  const setup = running();
  const { cluster, web } = setup;
  end(setup, 'failed');
  expect(cluster.runnable(web).map((task) => task.desiredState)).toEqual(['ready']);
  cluster.converge();
  cluster.advance(4_999);
  expect(cluster.runnable(web).map((task) => task.desiredState)).toEqual(['ready']);
  cluster.advance(1);
  cluster.converge();
  expect(cluster.running(web).length).toBe(1);
});

test('a held task that is rejected is replaced once its delay is over, not before', () => {
  const setup = running();
  const { cluster, web } = setup;
  end(setup, 'failed');
  const [held] = cluster.runnable(web);
  if (!held) throw new Error('nothing is held');
  cluster.report(held.id, 'rejected', 'No such image: nginx');
  cluster.settle();
  cluster.advance(4_000);
  expect(cluster.runnable(web)).toEqual([]);
  cluster.advance(1_000);
  expect(cluster.runnable(web).map((task) => task.desiredState)).toEqual(['ready']);
});

test('that delay is kept too in a slot that an update under way has not reached', () => {
  const setup = running({ Delay: 5 * SECOND_NS });
  const { cluster, web } = setup;
  cluster.updateService(web, (spec) => withReplicas(spec, 2));
  cluster.converge();
  cluster.updateService(web, (spec) => ({
    ...withImage(spec, 'nginx:2'),
    UpdateConfig: { Parallelism: 1 },
  }));
  cluster.settle();
  const [old] = cluster.running(web);
  if (!old) throw new Error('one slot runs the old version');
  cluster.report(old.id, 'failed', 'task: non-zero exit (1)');
  cluster.settle();
  const ofSlot = (): readonly Task[] =>
    cluster.runnable(web).filter(({ slot }) => slot === old.slot);
  const [held] = ofSlot();
  if (!held) throw new Error('nothing is held');
  expect(held.specVersion).toBe(old.specVersion);
  cluster.report(held.id, 'rejected', 'No such image: nginx');
  cluster.settle();
  cluster.advance(4_000);
  expect(ofSlot()).toEqual([]);
  cluster.advance(1_000);
  expect(ofSlot().map((task) => task.desiredState)).toEqual(['ready']);
});

test.each([
  ['none', 'failed', 0],
  ['none', 'complete', 0],
  ['on-failure', 'complete', 0],
  ['on-failure', 'failed', 1],
  ['on-failure', 'rejected', 1],
  ['any', 'complete', 1],
] as const)('condition %s after %s leaves %i tasks', (Condition, state, count) => {
  const setup = running({ Condition });
  end(setup, state);
  setup.cluster.advance(10_000);
  expect(setup.cluster.runnable(setup.web).length).toBe(count);
  expect(setup.cluster.tasks(setup.web)[0]?.desiredState).toBe('shutdown');
});

test('max attempts are counted across tasks and survive a change of leader', () => {
  const setup = running({ MaxAttempts: 2, Delay: 0 });
  const { cluster, web } = setup;
  for (const left of [1, 1, 0]) {
    end(setup, 'failed');
    cluster.elect();
    cluster.converge();
    expect(cluster.runnable(web).length).toBe(left);
  }
  cluster.advance(3_600_000);
  expect(cluster.runnable(web).length).toBe(0);
});

test('attempts older than the window are forgotten', () => {
  const setup = running({ MaxAttempts: 1, Delay: 0, Window: 60 * SECOND_NS });
  const { cluster, web } = setup;
  for (let round = 0; round < 3; round++) {
    end(setup, 'failed');
    cluster.converge();
    expect(cluster.running(web).length).toBe(1);
    cluster.advance(61_000);
  }
  end(setup, 'failed');
  cluster.converge();
  end(setup, 'failed');
  expect(cluster.runnable(web).length).toBe(0);
});

test('tasks of a node that is down are replaced elsewhere without delay', () => {
  const { cluster, web } = running();
  const [task] = cluster.running(web);
  if (!task?.nodeId) throw new Error('nothing runs');
  cluster.setNodeState(task.nodeId, 'down');
  cluster.settle();
  const [replacement] = cluster.runnable(web);
  expect(replacement).toMatchObject({ desiredState: 'running', status: { state: 'assigned' } });
  expect(replacement?.nodeId).not.toBe(task.nodeId);
  expect(cluster.tables.get('task', task.id)).toMatchObject({
    desiredState: 'shutdown',
    status: { state: 'running' },
  });
});

test('a node that comes back stops its old tasks and gets nothing twice', () => {
  const { cluster, web } = running();
  const [task] = cluster.running(web);
  if (!task?.nodeId) throw new Error('nothing runs');
  cluster.setNodeState(task.nodeId, 'down');
  cluster.converge();
  cluster.setNodeState(task.nodeId, 'ready');
  cluster.converge();
  expect(cluster.running(web).length).toBe(1);
  expect(cluster.tables.get('task', task.id)?.status.state).toBe('shutdown');
});

test('draining a node moves its tasks; the replacement waits for the old one to stop', () => {
  const { cluster, web } = running();
  const [task] = cluster.running(web);
  if (!task?.nodeId) throw new Error('nothing runs');
  cluster.setAvailability(task.nodeId, 'drain');
  cluster.settle();
  expect(cluster.tables.get('task', task.id)?.desiredState).toBe('shutdown');
  expect(cluster.runnable(web).map((other) => other.desiredState)).toEqual(['ready']);
  cluster.converge();
  const [replacement] = cluster.running(web);
  expect(replacement?.nodeId).not.toBe(task.nodeId);
});

test('a task whose predecessor never stops runs after a minute and its grace period', () => {
  const { cluster, web } = running();
  const [task] = cluster.running(web);
  if (!task?.nodeId) throw new Error('nothing runs');
  cluster.setAvailability(task.nodeId, 'drain');
  cluster.settle();
  cluster.advance(69_999);
  expect(cluster.runnable(web).map((other) => other.desiredState)).toEqual(['ready']);
  cluster.advance(1);
  expect(cluster.runnable(web).map((other) => other.desiredState)).toEqual(['running']);
});

test('a task of a removed node is orphaned and replaced', () => {
  const { cluster, web } = running();
  const [task] = cluster.running(web);
  const node = task?.nodeId && cluster.tables.get('node', task.nodeId);
  if (!task || !node) throw new Error('nothing runs');
  cluster.removeNode(node.id);
  cluster.converge();
  expect(cluster.tables.get('task', task.id)?.status.state).toBe('orphaned');
  expect(cluster.running(web).length).toBe(1);
});

test('a node that stays down for a day has lost its tasks', () => {
  const { cluster, web } = running();
  const [task] = cluster.running(web);
  if (!task?.nodeId) throw new Error('nothing runs');
  cluster.setNodeState(task.nodeId, 'down');
  cluster.converge();
  cluster.advance(24 * 3_600_000);
  expect(cluster.tables.get('task', task.id)?.status.state).toBe('orphaned');
});

test('history is cut to the limit and the last word of a slot stays', () => {
  const setup = running({ Delay: 0 });
  for (let round = 0; round < 10; round++) {
    end(setup, 'failed');
    setup.cluster.converge();
    setup.cluster.advance(60_000);
    setup.cluster.converge();
  }
  expect(setup.cluster.tasks(setup.web).length).toBe(5);
});

/** How long the slot waits after its running task failed. */
function delayAfterFailure(setup: Setup): number {
  const { cluster, web } = setup;
  end(setup, 'failed');
  cluster.converge();
  const begun = cluster.now;
  for (let waited = 0; cluster.running(web).length === 0; waited++) {
    if (waited > 1000) throw new Error('never restarted');
    cluster.advance(1000);
    cluster.converge();
  }
  return (cluster.now - begun) / 1000;
}

test('the delay doubles with each failure in a row up to a minute, also on a new leader', () => {
  const setup = running();
  const delays = Array.from({ length: 6 }, () => {
    setup.cluster.elect();
    return delayAfterFailure(setup);
  });
  expect(delays).toEqual([5, 10, 20, 40, 60, 60]);
});

test('without a delay only the first failure in a row is answered at once', () => {
  const setup = running({ Delay: 0 });
  // Looked at every second: 0.2, 0.4 and 0.8 s show as 1.
  const delays = Array.from({ length: 6 }, () => delayAfterFailure(setup));
  expect(delays).toEqual([0, 1, 1, 1, 2, 4]);
});

test('a task that ran longer than the longest delay begins anew, and so does a new version', () => {
  const setup = running();
  const { cluster, web } = setup;
  expect([delayAfterFailure(setup), delayAfterFailure(setup)]).toEqual([5, 10]);
  cluster.advance(61_000);
  expect([delayAfterFailure(setup), delayAfterFailure(setup)]).toEqual([5, 10]);
  cluster.updateService(web, (spec) => ({
    ...spec,
    TaskTemplate: { ...spec.TaskTemplate, ContainerSpec: { Image: 'nginx:2' } },
  }));
  cluster.converge();
  cluster.advance(6_000);
  cluster.converge();
  expect(delayAfterFailure(setup)).toBe(5);
});

test('the longest delay can be set, and limited attempts wait as long as was asked', () => {
  const setup = running();
  setup.cluster.updateService(setup.web, (spec) => ({
    ...spec,
    Labels: { 'muster.restart-max-delay': '12s' },
  }));
  expect(Array.from({ length: 4 }, () => delayAfterFailure(setup))).toEqual([5, 10, 12, 12]);
  const limited = running({ MaxAttempts: 5, Delay: 2 * SECOND_NS });
  expect(Array.from({ length: 4 }, () => delayAfterFailure(limited))).toEqual([2, 2, 2, 2]);
});
