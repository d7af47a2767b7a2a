/** What a leader makes of what its predecessor left, whatever that was doing. */
import { expect, test } from 'vitest';
import { DecideCluster, webSpec } from '../../test/sim/decide-cluster.ts';
import {
  createObject,
  type NodeId,
  removeObject,
  type ServiceId,
  type Task,
  type TaskId,
  type TaskState,
  updateObject,
} from '../model/index.ts';
import { decideServices } from './services.ts';

const MODES = [
  ['replicated', { Replicated: { Replicas: 2 } }],
  ['global', { Global: {} }],
] as const;

interface Setup {
  readonly cluster: DecideCluster;
  readonly web: ServiceId;
}

function running(Mode: object): Setup {
  const cluster = new DecideCluster({ nodes: 2 });
  const web = cluster.createService({ ...webSpec(), Mode });
  cluster.converge();
  return { cluster, web };
}

function set(cluster: DecideCluster, task: Task | undefined, state: TaskState): void {
  if (!task) throw new Error('no task');
  const status = { ...task.status, state, at: cluster.now };
  cluster.apply([updateObject('task', { ...task, status })]);
}

test.each(
  MODES.flatMap(([mode, Mode]) => [
    [mode, 'rejected', Mode] as const,
    [mode, 'failed', Mode] as const,
  ]),
)('%s: a task that it finds %s is replaced after the delay', (_mode, state, Mode) => {
  const { cluster, web } = running(Mode);
  set(cluster, cluster.tasks(web)[0], state);
  cluster.elect();
  cluster.settle();
  expect(
    cluster
      .runnable(web)
      .map((task) => task.desiredState)
      .toSorted(),
  ).toEqual(['ready', 'running']);
  cluster.advance(5_000);
  cluster.converge();
  expect(cluster.running(web).length).toBe(2);
});

test('a held task is released when its delay is over, not a delay after the election', () => {
  const { cluster, web } = running({ Replicated: { Replicas: 1 } });
  set(cluster, cluster.tasks(web)[0], 'failed');
  cluster.settle();
  cluster.advance(3_000);
  cluster.elect();
  cluster.converge();
  cluster.advance(1_999);
  expect(cluster.runnable(web)[0]?.desiredState).toBe('ready');
  cluster.advance(1);
  expect(cluster.runnable(web)[0]?.desiredState).toBe('running');
});

test.each(MODES)('%s: tasks of nodes that went down meanwhile are given up', (_mode, Mode) => {
  const { cluster, web } = running(Mode);
  const [node] = cluster.tables.list('node');
  cluster.setNodeState(node?.id as NodeId, 'down');
  cluster.elect();
  cluster.settle();
  expect(cluster.runnable(web).every(({ nodeId }) => nodeId !== node?.id)).toBe(true);
});

test('global: a second task of a node and those of drained and unknown nodes do not stay', () => {
  const { cluster, web } = running({ Global: {} });
  const [first, second] = cluster.tasks(web);
  if (!first || !second) throw new Error('two tasks expected');
  const twin: Task = { ...first, id: 'twin' as TaskId, createdAt: cluster.now };
  const stranger: Task = { ...first, id: 'stranger' as TaskId, nodeId: 'gone' as NodeId };
  cluster.apply([createObject('task', twin), createObject('task', stranger)]);
  cluster.setAvailability(second.nodeId as NodeId, 'drain');
  cluster.elect();
  cluster.converge();
  expect(cluster.runnable(web).map(({ nodeId }) => nodeId)).toEqual([first.nodeId]);
});

test('tasks whose service is gone are removed, and several services are all looked after', () => {
  const { cluster, web } = running({ Replicated: { Replicas: 1 } });
  const api = cluster.createService(webSpec({ Name: 'api', replicas: 1 }));
  const db = cluster.createService({ ...webSpec({ Name: 'db' }), Mode: { Global: {} } });
  cluster.apply([removeObject('service', cluster.service(web))]);
  cluster.elect();
  cluster.converge();
  expect(cluster.tasks(web)).toEqual([]);
  expect(cluster.running(api).length).toBe(1);
  expect(cluster.running(db).length).toBe(2);
});

test('tasks that were made while their service was removed, and have no node yet, are removed', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const web = cluster.createService(webSpec({ replicas: 2 }));
  cluster.pass([decideServices]);
  expect(cluster.tasks(web).map(({ nodeId }) => nodeId)).toEqual([undefined, undefined]);
  cluster.apply([removeObject('service', cluster.service(web))]);
  cluster.elect();
  cluster.converge();
  expect(cluster.tasks(web)).toEqual([]);
  expect(cluster.tables.count('revision')).toBe(0);
});

test.each(MODES)('%s: a task object that vanished is made again', (_mode, Mode) => {
  const { cluster, web } = running(Mode);
  const [task] = cluster.tasks(web);
  if (task) cluster.apply([removeObject('task', task)]);
  cluster.converge();
  expect(cluster.running(web).length).toBe(2);
});

test('global: attempts that were used up before the election stay used up', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const RestartPolicy = { MaxAttempts: 1, Delay: 0 };
  const web = cluster.createService({
    ...webSpec({ TaskTemplate: { ContainerSpec: { Image: 'a' }, RestartPolicy } }),
    Mode: { Global: {} },
  });
  cluster.converge();
  for (let round = 0; round < 2; round++) {
    set(cluster, cluster.running(web)[0], 'failed');
    cluster.converge();
    cluster.elect();
    cluster.converge();
  }
  expect(cluster.runnable(web)).toEqual([]);
});

test('global: a task that fails is replaced on its node as its policy says, also when it ends well', () => {
  const { cluster, web } = running({ Global: {} });
  const [task] = cluster.running(web);
  set(cluster, task, 'complete');
  cluster.settle();
  expect(
    cluster.runnable(web).filter(({ nodeId }) => nodeId === task?.nodeId)[0]?.desiredState,
  ).toBe('ready');
  cluster.advance(5_000);
  cluster.converge();
  expect(cluster.running(web).length).toBe(2);
});
