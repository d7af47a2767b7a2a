import { expect, test } from 'vitest';
import { DecideCluster, webSpec, withImage } from '../../test/sim/decide-cluster.ts';
import type { ServiceId, ServiceSpec } from '../model/index.ts';

function running(change: Partial<ServiceSpec> = {}): { cluster: DecideCluster; web: ServiceId } {
  const cluster = new DecideCluster({ nodes: 3 });
  const web = cluster.createService({ ...webSpec(), Mode: { Global: {} }, ...change });
  cluster.converge();
  return { cluster, web };
}

test('a global service runs once on every node, also on one that joins later', () => {
  const { cluster, web } = running();
  expect(cluster.running(web).length).toBe(3);
  const node = cluster.addNode();
  cluster.converge();
  expect(cluster.running(web).map((task) => task.nodeId)).toContain(node.id);
  expect(cluster.running(web).every((task) => task.slot === 0)).toBe(true);
});

test('it follows its constraints when labels change', () => {
  const { cluster, web } = running({
    TaskTemplate: {
      ContainerSpec: { Image: 'nginx' },
      Placement: { Constraints: ['node.labels.zone == a'] },
    },
  });
  expect(cluster.tasks(web)).toEqual([]);
  const [node] = cluster.tables.list('node');
  if (!node) throw new Error('no node');
  cluster.setNode(node.id, (old) => ({ ...old, spec: { ...old.spec, Labels: { zone: 'a' } } }));
  cluster.converge();
  expect(cluster.running(web).map((task) => task.nodeId)).toEqual([node.id]);
  cluster.setNode(node.id, (old) => ({ ...old, spec: { ...old.spec, Labels: {} } }));
  cluster.converge();
  expect(cluster.running(web)).toEqual([]);
});

test('a paused node keeps its task, a drained one loses it and gets it back', () => {
  const { cluster, web } = running();
  const [node] = cluster.tables.list('node');
  if (!node) throw new Error('no node');
  const onNode = (): number =>
    cluster.running(web).filter((task) => task.nodeId === node.id).length;
  cluster.setAvailability(node.id, 'pause');
  cluster.converge();
  expect(onNode()).toBe(1);
  cluster.setAvailability(node.id, 'drain');
  cluster.converge();
  expect(onNode()).toBe(0);
  cluster.setAvailability(node.id, 'active');
  cluster.converge();
  expect(onNode()).toBe(1);
});

test('a node that leaves takes its tasks with it', () => {
  const { cluster, web } = running();
  const [node] = cluster.tables.list('node');
  if (!node) throw new Error('no node');
  cluster.removeNode(node.id);
  cluster.converge();
  expect(cluster.tasks(web).length).toBe(2);
});

test('an update goes from node to node', () => {
  const { cluster, web } = running();
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.settle();
  expect(cluster.tasks(web).filter((task) => task.specVersion === 2).length).toBe(1);
  cluster.converge();
  cluster.advance(10_000);
  expect(cluster.service(web).updateStatus?.state).toBe('completed');
  expect(cluster.running(web).map((task) => task.specVersion)).toEqual([2, 2, 2]);
});
