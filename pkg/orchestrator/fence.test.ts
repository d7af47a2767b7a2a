import { expect, test } from 'vitest';
import { DecideCluster, webSpec, withImage, withReplicas } from '../../test/sim/decide-cluster.ts';
import { type NodeId, type ServiceId, type TaskId, updateObject } from '../model/index.ts';

const LABELS = { 'muster.fence': '10s' };

function running(replicas = 1): { cluster: DecideCluster; db: ServiceId; node: NodeId } {
  const cluster = new DecideCluster({ nodes: 2 });
  const db = cluster.createService(webSpec({ replicas, Labels: LABELS }));
  cluster.converge();
  return { cluster, db, node: cluster.running(db)[0]?.nodeId as NodeId };
}

test('a fenced slot of a node that is down is prepared elsewhere and runs when the fence is over, whoever leads', () => {
  const { cluster, db, node } = running();
  cluster.setNodeState(node, 'down');
  cluster.converge();
  expect(cluster.runnable(db).map(({ desiredState }) => desiredState)).toEqual(['ready']);
  const due = cluster.now + 10_000;
  expect(cluster.wakeAt).toBe(due);
  cluster.elect();
  cluster.converge();
  expect(cluster.wakeAt).toBe(due);
  cluster.advance(9_999);
  expect(cluster.runnable(db)[0]?.desiredState).toBe('ready');
  cluster.advance(1);
  cluster.converge();
  expect(cluster.running(db).map(({ nodeId }) => nodeId === node)).toEqual([false]);
});

test('a new leader, whose clock may be ahead, counts the fence from its own beginning', () => {
  const { cluster, db, node } = running();
  cluster.setNodeState(node, 'down');
  cluster.converge();
  cluster.setClock(9_000);
  cluster.elect();
  cluster.converge();
  cluster.advance(9_999);
  expect(cluster.runnable(db)[0]?.desiredState).toBe('ready');
  cluster.advance(1);
  cluster.converge();
  expect(cluster.running(db).length).toBe(1);
});

test.each([
  ['set forward', 3_600_000],
  ['set back', -3_600_000],
])('the fence ends when its time has passed, also when the clock is %s meanwhile', (_, ms) => {
  const { cluster, db, node } = running();
  cluster.setNodeState(node, 'down');
  cluster.converge();
  cluster.advance(4_000);
  // As when somebody writes through a manager whose clock is ahead.
  cluster.setClock(ms);
  cluster.converge();
  cluster.advance(5_999);
  expect(cluster.runnable(db)[0]?.desiredState).toBe('ready');
  cluster.advance(1);
  cluster.converge();
  expect(cluster.running(db).length).toBe(1);
});

test('fences of several lengths end one after the other, and what is over stays so for a new leader', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const [short, long] = ['3s', '8s'].map((fence) =>
    cluster.createService(webSpec({ Name: fence, replicas: 2, Labels: { 'muster.fence': fence } })),
  ) as [ServiceId, ServiceId];
  cluster.converge();
  cluster.setNodeState(cluster.running(short)[0]?.nodeId as NodeId, 'down');
  cluster.converge();
  const held = (): readonly number[] =>
    [short, long].map(
      (id) => cluster.runnable(id).filter(({ desiredState }) => desiredState === 'ready').length,
    );
  expect(held()).toEqual([1, 1]);
  cluster.advance(3_000);
  expect(held()).toEqual([0, 1]);
  cluster.elect();
  cluster.settle();
  cluster.updateService(short, (spec) => withReplicas(spec, 0));
  cluster.updateService(short, (spec) => withReplicas(spec, 2));
  cluster.settle();
  expect(held()).toEqual([0, 1]);
  cluster.advance(7_999);
  expect(held()).toEqual([0, 1]);
  cluster.advance(1);
  expect(held()).toEqual([0, 0]);
});

test('a node that comes back before that says when its copy stopped, however long it takes', () => {
  const { cluster, db, node } = running();
  const [old] = cluster.running(db);
  cluster.setNodeState(node, 'down');
  cluster.settle();
  cluster.advance(5_000);
  cluster.setNodeState(node, 'ready');
  cluster.settle();
  cluster.advance(300_000);
  expect(cluster.runnable(db)[0]?.desiredState).toBe('ready');
  if (old) cluster.report(old.id, 'shutdown');
  cluster.settle();
  expect(cluster.runnable(db)[0]?.desiredState).toBe('running');
});

test('also when the slot was removed and wanted again meanwhile', () => {
  const { cluster, db, node } = running();
  cluster.setNodeState(node, 'down');
  cluster.updateService(db, (spec) => withReplicas(spec, 0));
  cluster.converge();
  cluster.updateService(db, (spec) => withReplicas(spec, 1));
  cluster.converge();
  expect(cluster.running(db)).toEqual([]);
  cluster.advance(10_000);
  cluster.converge();
  expect(cluster.running(db).length).toBe(1);
});

test('an update and a drain wait for the end of the old copy for as long as it takes', () => {
  const { cluster, db, node } = running();
  const [old] = cluster.running(db);
  cluster.updateService(db, (spec) => withImage(spec, 'nginx:2'));
  cluster.settle();
  cluster.advance(200_000);
  expect(cluster.runnable(db)[0]?.desiredState).toBe('ready');
  if (old) cluster.report(old.id, 'shutdown');
  cluster.converge();
  const [present] = cluster.running(db);
  cluster.setAvailability(present?.nodeId ?? node, 'drain');
  cluster.settle();
  cluster.advance(200_000);
  expect(cluster.runnable(db)[0]?.desiredState).toBe('ready');
});

test('a replacement whose predecessor was not told to stop, for that write was lost, tells it again', () => {
  const { cluster, db } = running();
  const [old] = cluster.running(db);
  if (!old) throw new Error('one task expected');
  cluster.updateService(db, (spec) => withImage(spec, 'nginx:2'));
  cluster.settle();
  const told = cluster.tables.get('task', old.id);
  if (told) cluster.apply([updateObject('task', { ...told, desiredState: 'running' })]);
  cluster.settle();
  expect(cluster.tables.get('task', old.id)?.desiredState).toBe('shutdown');
});

test('without a fence nothing waits for a node that is down', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const web = cluster.createService(webSpec({ replicas: 1 }));
  cluster.converge();
  cluster.setNodeState(cluster.running(web)[0]?.nodeId as NodeId, 'down');
  cluster.converge();
  expect(cluster.running(web).length).toBe(1);
});

test('the fence is part of what a task is made from', () => {
  const { cluster, db } = running();
  cluster.updateService(db, (spec) => ({ ...spec, Labels: {} }));
  cluster.converge();
  expect(cluster.running(db).map(({ specVersion }) => specVersion)).toEqual([2]);
});

test.each([
  ['start-first', { UpdateConfig: { Order: 'start-first' } }],
  ['min-available', { Labels: { 'muster.min-available': '1' } }],
] as const)(
  'an update that takes the fence away and asks for %s stops the fenced copy first',
  (_, change) => {
    const { cluster, db } = running();
    cluster.updateService(db, (spec) => ({ ...spec, Labels: {}, ...change }));
    cluster.converge();
    expect(cluster.running(db).map(({ specVersion }) => specVersion)).toEqual([2]);
    expect(cluster.service(db).updateStatus?.failures).toBe(0);
  },
);

test('a task that its fence killed used up no attempt, and is replaced at once', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const RestartPolicy = { Condition: 'any', MaxAttempts: 1, Delay: 5e9 };
  const TaskTemplate = { ContainerSpec: { Image: 'db:1' }, RestartPolicy };
  const db = cluster.createService(webSpec({ replicas: 1, Labels: LABELS, TaskTemplate }));
  cluster.converge();
  for (let time = 0; time < 3; time++) {
    const [task] = cluster.running(db);
    cluster.report(task?.id as TaskId, 'shutdown', 'killed');
    cluster.converge();
    expect(cluster.running(db)).toHaveLength(1);
    expect(cluster.running(db)[0]).toMatchObject({ restarts: [], failures: undefined });
  }
  const [last] = cluster.running(db);
  cluster.report(last?.id as TaskId, 'failed', 'exit 1');
  cluster.converge();
  expect(cluster.running(db)).toEqual([]);
  expect(cluster.runnable(db)[0]?.startAfter).toBe(cluster.now + 5_000);
});

test('a replacement that its fence killed is no failure of the update', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const UpdateConfig = { Monitor: 10e9, FailureAction: 'pause', Parallelism: 1 };
  const db = cluster.createService(webSpec({ replicas: 2, Labels: LABELS, UpdateConfig }));
  cluster.converge();
  cluster.updateService(db, (spec) => withImage(spec, 'db:2'));
  cluster.converge();
  const [fresh] = cluster.running(db).filter(({ specVersion }) => specVersion === 2);
  cluster.report(fresh?.id as TaskId, 'shutdown', 'killed');
  for (let second = 0; second < 40; second++) {
    cluster.advance(1000);
    cluster.converge();
  }
  expect(cluster.service(db).updateStatus).toMatchObject({ state: 'completed', failures: 0 });
});
