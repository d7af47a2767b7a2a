import { expect, test } from 'vitest';
import { DecideCluster, webSpec, withImage } from '../../test/sim/decide-cluster.ts';
import { type NodeId, removeObject, type Task } from '../model/index.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * A network with five addresses to give. A service has two of them, is removed while its node is down, and another one
 * wants all five. `running`: how many of its four tasks got one.
 */
function removedWhileLost(Labels: Record<string, string> = {}): {
  readonly cluster: DecideCluster;
  readonly node: NodeId;
  readonly task: Task;
  readonly running: () => number;
} {
  const cluster = new DecideCluster({ nodes: 2 });
  const IPAM = { Config: [{ Subnet: '10.9.0.0/29' }] };
  const { id: Target } = cluster.addNetwork({ Name: 'small', IPAM });
  const spec = { replicas: 1, Networks: [{ Target }], Labels };
  const old = cluster.createService(webSpec(spec));
  cluster.converge();
  const [task] = cluster.running(old);
  if (task?.nodeId === undefined) throw new Error('nothing runs');
  cluster.setNodeState(task.nodeId, 'down');
  cluster.removeService(old);
  cluster.converge();
  const next = cluster.createService(webSpec({ ...spec, Name: 'next', replicas: 4 }));
  cluster.converge();
  const running = (): number => {
    cluster.converge();
    return cluster.running(next).length;
  };
  return { cluster, node: task.nodeId, task, running };
}

test('a removed task on a lost node keeps its address until the node says that it stopped', () => {
  const { cluster, node, task, running } = removedWhileLost();
  expect(running()).toBe(3);
  cluster.advance(DAY_MS / 2);
  expect(running()).toBe(3);
  cluster.setNodeState(node, 'ready');
  cluster.settle();
  expect(cluster.tables.get('task', task.id)?.desiredState).toBe('remove');
  expect(running()).toBe(4);
  expect(cluster.tables.get('task', task.id)).toBeUndefined();
});

test('or until the node is removed, or has been down for a day', () => {
  const removed = removedWhileLost();
  expect(removed.running()).toBe(3);
  removed.cluster.removeNode(removed.node);
  expect(removed.running()).toBe(4);
  const lost = removedWhileLost();
  lost.cluster.advance(DAY_MS - 1);
  expect(lost.running()).toBe(3);
  lost.cluster.advance(1);
  expect(lost.running()).toBe(4);
});

test('or until its fence is over, whoever leads', () => {
  const { cluster, running } = removedWhileLost({ 'muster.fence': '10s' });
  expect(running()).toBe(3);
  cluster.elect();
  cluster.settle();
  cluster.advance(9_999);
  expect(running()).toBe(3);
  cluster.advance(1);
  expect(running()).toBe(4);
});

test('a task that was stopped before it had a node leaves no trace', () => {
  const cluster = new DecideCluster();
  const web = cluster.createService(webSpec({ replicas: 1 }));
  cluster.settle();
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.settle();
  expect(cluster.tasks(web).map((task) => task.specVersion)).toEqual([2]);
});

test('a revision that was lost is written again', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const web = cluster.createService(webSpec({ replicas: 1 }));
  cluster.converge();
  const [revision] = cluster.tables.list('revision');
  if (!revision) throw new Error('no revision');
  cluster.apply([removeObject('revision', revision)]);
  cluster.elect();
  cluster.settle();
  expect(cluster.tables.revision(web, 1)?.spec).toEqual(revision.spec);
});

test('a network on its way out goes with its last task', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const network = cluster.addNetwork({ Name: 'app' });
  const web = cluster.createService(webSpec({ Networks: [{ Target: network.id }] }));
  cluster.converge();
  cluster.removeService(web);
  cluster.removeNetwork(network.id);
  cluster.settle();
  expect(cluster.tables.get('network', network.id)).toBeDefined();
  cluster.converge();
  expect(cluster.tables.get('network', network.id)).toBeUndefined();
});

test('the last twenty revisions are kept, and older ones that tasks were made from', () => {
  const cluster = new DecideCluster({
    nodes: 1,
    cluster: { spec: { Orchestration: { TaskHistoryRetentionLimit: 1 } } },
  });
  const web = cluster.createService(webSpec({ replicas: 1 }));
  const versions = (): readonly number[] =>
    [...cluster.tables.list('revision')].map(({ specVersion }) => specVersion);
  const label = (round: number): void =>
    cluster.updateService(web, (spec) => ({ ...spec, Labels: { round: String(round) } }));
  cluster.converge();
  for (let round = 2; round <= 30; round++) {
    label(round);
    cluster.settle();
  }
  // The task was made from the first: labels replace nothing.
  expect(versions()).toEqual([1, ...Array.from({ length: 20 }, (_, at) => 11 + at)]);
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.converge();
  cluster.advance(10_000);
  cluster.converge();
  expect(versions()).toEqual(Array.from({ length: 20 }, (_, at) => 12 + at));
  cluster.removeService(web);
  cluster.converge();
  expect(versions()).toEqual([]);
});

test('a history limit of 0 keeps the task that says a slot gave up', () => {
  const cluster = new DecideCluster({
    nodes: 1,
    cluster: { spec: { Orchestration: { TaskHistoryRetentionLimit: 0 } } },
  });
  const web = cluster.createService(
    webSpec({
      replicas: 1,
      TaskTemplate: { ContainerSpec: { Image: 'once' }, RestartPolicy: { Condition: 'none' } },
    }),
  );
  cluster.converge();
  const [task] = cluster.tasks(web);
  if (!task) throw new Error('no task');
  cluster.report(task.id, 'complete');
  cluster.converge();
  expect(cluster.tasks(web).map((other) => other.id)).toEqual([task.id]);
});
