import { expect, test } from 'vitest';
import { DecideCluster, webSpec } from '../../test/sim/decide-cluster.ts';
import type { NodeId, ServiceId } from '../model/index.ts';

function running(): { cluster: DecideCluster; web: ServiceId; zoneA: NodeId; zoneB: NodeId } {
  const cluster = new DecideCluster();
  const labelled = (zone: string): NodeId =>
    cluster.addNode({ spec: { Role: 'worker', Availability: 'active', Labels: { zone } } }).id;
  const zoneA = labelled('a');
  const zoneB = labelled('b');
  const web = cluster.createService(
    webSpec({
      replicas: 1,
      TaskTemplate: {
        ContainerSpec: { Image: 'nginx' },
        Placement: { Constraints: ['node.labels.zone == a'] },
      },
    }),
  );
  cluster.converge();
  return { cluster, web, zoneA, zoneB };
}

function relabel(cluster: DecideCluster, id: NodeId, zone: string): void {
  cluster.setNode(id, (node) => ({ ...node, spec: { ...node.spec, Labels: { zone } } }));
}

test('a task leaves a node that no longer satisfies its constraints', () => {
  const { cluster, web, zoneA, zoneB } = running();
  expect(cluster.running(web).map((task) => task.nodeId)).toEqual([zoneA]);
  relabel(cluster, zoneB, 'a');
  relabel(cluster, zoneA, 'b');
  cluster.converge();
  expect(cluster.running(web).map((task) => task.nodeId)).toEqual([zoneB]);
});

test('with nowhere to go the replacement waits and says why', () => {
  const { cluster, web, zoneA } = running();
  relabel(cluster, zoneA, 'c');
  cluster.converge();
  expect(cluster.runnable(web)[0]?.status.error).toBe(
    'no suitable node (scheduling constraints not satisfied on 2 nodes)',
  );
});

test('changed constraints that the node still satisfies restart nothing', () => {
  const { cluster, web } = running();
  const before = cluster.running(web).map((task) => task.id);
  cluster.updateService(web, (spec) => ({
    ...spec,
    TaskTemplate: { ...spec.TaskTemplate, Placement: { Constraints: ['node.role == worker'] } },
  }));
  cluster.converge();
  expect(cluster.running(web).map((task) => task.id)).toEqual(before);
  expect(cluster.service(web).updateStatus).toBeUndefined();
});

test('relaxed constraints count from then on', () => {
  const { cluster, web, zoneA } = running();
  const before = cluster.running(web).map((task) => task.id);
  cluster.updateService(web, (spec) => ({
    ...spec,
    TaskTemplate: { ...spec.TaskTemplate, Placement: {} },
  }));
  cluster.converge();
  relabel(cluster, zoneA, 'c');
  cluster.converge();
  expect(cluster.running(web).map((task) => task.id)).toEqual(before);
});

test('a node that has not described itself yet keeps its tasks', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const [node] = cluster.tables.list('node');
  if (!node) throw new Error('no node');
  const placed = { Constraints: [`node.hostname == ${node.description?.hostname}`] };
  const web = cluster.createService(
    webSpec({
      replicas: 1,
      TaskTemplate: { ContainerSpec: { Image: 'nginx' }, Placement: placed },
    }),
  );
  cluster.converge();
  cluster.setNode(node.id, (old) => ({ ...old, description: undefined }));
  cluster.converge();
  expect(cluster.running(web).length).toBe(1);
});
