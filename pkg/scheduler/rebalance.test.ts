import { expect, test } from 'vitest';
import { DecideCluster, webSpec } from '../../test/sim/decide-cluster.ts';
import type { NodeId, ServiceId, ServiceSpec } from '../model/index.ts';
import { balanceOf } from './rebalance.ts';

const LABELS = { 'muster.rebalance': '10s' };

function perNode(cluster: DecideCluster, id: ServiceId): readonly number[] {
  return [...cluster.tables.list('node')].map(
    (node) => cluster.running(id).filter(({ nodeId }) => nodeId === node.id).length,
  );
}

function web(cluster: DecideCluster, change: Parameters<typeof webSpec>[0]): ServiceId {
  const id = cluster.createService(webSpec({ Labels: LABELS, ...change }));
  cluster.converge();
  return id;
}

function forced(spec: ServiceSpec): ServiceSpec {
  return { ...spec, TaskTemplate: { ...spec.TaskTemplate, ForceUpdate: 1 } };
}

/** Agents obey all the while. */
function runFor(cluster: DecideCluster, ms: number): void {
  for (let passed = 0; passed < ms; passed += 500) {
    cluster.advance(500);
    cluster.converge();
  }
}

test('an update that is forced after a node joined spreads the tasks over all nodes again', () => {
  for (const Order of ['stop-first', 'start-first']) {
    const cluster = new DecideCluster({ nodes: 2 });
    const UpdateConfig = { Parallelism: 1, Monitor: 1e9, Order };
    const id = web(cluster, { replicas: 6, Labels: {}, UpdateConfig });
    cluster.addNode();
    cluster.converge();
    expect(perNode(cluster, id)).toEqual([3, 3, 0]);
    cluster.updateService(id, forced);
    runFor(cluster, 30_000);
    expect(cluster.service(id).updateStatus?.state).toBe('completed');
    expect(perNode(cluster, id)).toEqual([2, 2, 2]);
  }
});

test('tasks move to a node that came later, one after the other, and never run fewer', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const id = web(cluster, { replicas: 6 });
  runFor(cluster, 60_000);
  const late = cluster.addNode().id;
  cluster.converge();
  const seen: string[] = [perNode(cluster, id).join()];
  let fewest = 6;
  for (let second = 0; second < 60; second++) {
    runFor(cluster, 1000);
    fewest = Math.min(fewest, cluster.running(id).length);
    const now = perNode(cluster, id).join();
    if (now !== seen.at(-1)) seen.push(now);
    if (second === 8) expect(perNode(cluster, id)).toEqual([3, 3, 0]);
  }
  expect(seen.at(-1)).toBe('2,2,2');
  expect(seen.length).toBe(3);
  expect(fewest).toBe(6);
  expect(cluster.running(id).filter(({ nodeId }) => nodeId === late)).toHaveLength(2);
  expect(balanceOf(cluster.tables, cluster.service(id), cluster.now)).toEqual({ kind: 'balanced' });
});

test('nothing moves without the label, to a node that differs by one, or where it may not run', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const [first] = cluster.tables.list('node');
  const still = web(cluster, { Name: 'still', replicas: 4, Labels: {} });
  const odd = web(cluster, { Name: 'odd', replicas: 3 });
  const TaskTemplate = {
    ContainerSpec: { Image: 'a' },
    Placement: { Constraints: [`node.id==${first?.id}`] },
  };
  const bound = web(cluster, { Name: 'bound', replicas: 3, TaskTemplate });
  const before = [still, odd, bound].map((id) => cluster.running(id).map((task) => task.id));
  cluster.addNode();
  runFor(cluster, 60_000);
  const after = [still, bound].map((id) => cluster.running(id).map((task) => task.id));
  expect(after).toEqual([before[0], before[2]]);
  expect(perNode(cluster, odd).toSorted()).toEqual([1, 1, 1]);
  const settled = cluster.running(odd).map((task) => task.id);
  runFor(cluster, 60_000);
  expect(cluster.running(odd).map((task) => task.id)).toEqual(settled);
});

test('a task too many for an even spread stays where it is, also where the next would be placed elsewhere', () => {
  const cluster = new DecideCluster({ nodes: 3 });
  const [first] = [...cluster.tables.list('node')].map(({ id }) => id).toSorted();
  const become = (Availability: 'drain' | 'active'): void =>
    cluster.setNode(first as NodeId, (node) => ({ ...node, spec: { ...node.spec, Availability } }));
  become('drain');
  const id = web(cluster, { replicas: 4 });
  const before = new Set(cluster.running(id).map((task) => task.id));
  become('active');
  runFor(cluster, 120_000);
  expect(perNode(cluster, id).toSorted()).toEqual([1, 1, 2]);
  expect(cluster.running(id).filter((task) => before.has(task.id))).toHaveLength(3);
});

test('a move that fails leaves the task where it runs, and is tried again after the pause', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const id = web(cluster, { replicas: 2 });
  runFor(cluster, 20_000);
  const old = cluster.running(id);
  cluster.addNode();
  for (let second = 0; second < 15 && cluster.runnable(id).length < 3; second++) {
    cluster.advance(1000);
    cluster.settle();
  }
  const fresh = cluster.runnable(id).find((task) => !old.some((one) => one.id === task.id));
  expect(fresh).toBeDefined();
  if (fresh) cluster.report(fresh.id, 'failed', 'no such image');
  cluster.settle();
  expect(cluster.runnable(id).map((task) => [task.id, task.move])).toEqual(
    old.map((task) => [task.id, undefined]),
  );
  runFor(cluster, 30_000);
  expect(perNode(cluster, id)).toEqual([1, 1]);
});

test('a node that is lost on the way takes no task along that runs elsewhere', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const id = web(cluster, { replicas: 2 });
  runFor(cluster, 20_000);
  const old = cluster.running(id).map((task) => task.id);
  const late = cluster.addNode().id as NodeId;
  cluster.advance(10_000);
  cluster.settle();
  cluster.settle();
  expect(cluster.runnable(id).some(({ nodeId }) => nodeId === late)).toBe(true);
  cluster.setNodeState(late, 'down');
  runFor(cluster, 60_000);
  expect(cluster.running(id).map((task) => task.id)).toEqual(old);
});
