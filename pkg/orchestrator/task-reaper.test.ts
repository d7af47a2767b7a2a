import { expect, test } from 'vitest';
import { DecideCluster, webSpec, withImage } from '../../test/sim/decide-cluster.ts';
import { removeObject } from '../model/index.ts';

test('tasks of a removed service on a lost node do not linger', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const web = cluster.createService(webSpec());
  cluster.converge();
  const [node] = cluster.tables.list('node');
  if (!node) throw new Error('no node');
  cluster.removeService(web);
  cluster.settle();
  expect(cluster.tables.count('task')).toBe(3);
  cluster.setNodeState(node.id, 'down');
  cluster.settle();
  expect(cluster.tables.count('task')).toBe(0);
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
