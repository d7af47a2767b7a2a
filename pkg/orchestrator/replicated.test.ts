import { expect, test } from 'vitest';
import { DecideCluster, webSpec, withReplicas } from '../../test/sim/decide-cluster.ts';

test('a new service gets one task per replica, spread over the nodes, in slots from 1', () => {
  const cluster = new DecideCluster({ nodes: 3 });
  const web = cluster.createService(webSpec());
  cluster.converge();
  const running = cluster.running(web);
  expect(running.map((task) => task.slot)).toEqual([1, 2, 3]);
  expect(new Set(running.map((task) => task.nodeId)).size).toBe(3);
});

test('a task is created, given addresses and placed in one pass', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  cluster.settle();
  const web = cluster.createService(webSpec({ replicas: 1 }));
  cluster.pass();
  expect(cluster.tasks(web).map((task) => task.status.state)).toEqual(['assigned']);
});

test('scaling up fills the lowest free slots and scaling down frees the highest', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const web = cluster.createService(webSpec());
  cluster.converge();
  cluster.updateService(web, (spec) => withReplicas(spec, 5));
  cluster.converge();
  expect(cluster.running(web).map((task) => task.slot)).toEqual([1, 2, 3, 4, 5]);
  cluster.updateService(web, (spec) => withReplicas(spec, 2));
  cluster.converge();
  expect(cluster.tasks(web).map((task) => task.slot)).toEqual([1, 2]);
});

test('scaling neither restarts a task nor starts an update', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const web = cluster.createService(webSpec());
  cluster.converge();
  const before = cluster.tasks(web).map((task) => task.id);
  cluster.updateService(web, (spec) => withReplicas(spec, 4));
  cluster.converge();
  expect(cluster.tasks(web).map((task) => task.id)).toEqual(expect.arrayContaining(before));
  expect(cluster.service(web).updateStatus).toBeUndefined();
});

test('scaling down takes tasks that do not run before any that does', () => {
  const cluster = new DecideCluster({ nodes: 3 });
  const web = cluster.createService(webSpec());
  cluster.settle();
  for (const task of cluster.tasks(web)) if (task.slot !== 1) cluster.report(task.id, 'running');
  cluster.updateService(web, (spec) => withReplicas(spec, 2));
  cluster.settle();
  expect(cluster.runnable(web).map((task) => task.slot)).toEqual([2, 3]);
});

test('removing a service removes its tasks, revisions and addresses', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const web = cluster.createService(webSpec());
  cluster.converge();
  cluster.removeService(web);
  cluster.settle();
  expect(cluster.tasks(web).map((task) => task.desiredState)).toEqual([
    'remove',
    'remove',
    'remove',
  ]);
  cluster.converge();
  expect(cluster.tables.count('task')).toBe(0);
  expect(cluster.tables.count('revision')).toBe(0);
});

test('a second look at what was decided decides nothing', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  cluster.createService(webSpec());
  cluster.converge();
  cluster.elect();
  expect(cluster.pass()).toEqual([]);
});
