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

/** A node with room for four tasks of one CPU, and a second one to go to. */
function reserving(labels: readonly Record<string, string>[]): {
  cluster: DecideCluster;
  services: readonly ServiceId[];
  small: NodeId;
} {
  const cluster = new DecideCluster({ nodes: 1 });
  const services = labels.map((Labels, at) =>
    cluster.createService(
      webSpec({
        Name: `svc${at}`,
        replicas: 1,
        Labels,
        TaskTemplate: {
          ContainerSpec: { Image: 'nginx' },
          Resources: { Reservations: { NanoCPUs: 1e9, MemoryBytes: 2 ** 30 } },
        },
      }),
    ),
  );
  cluster.converge();
  const small = [...cluster.tables.list('node')][0]?.id as NodeId;
  cluster.addNode();
  cluster.converge();
  return { cluster, services, small };
}

function resize(cluster: DecideCluster, id: NodeId, nanoCpus: number): void {
  cluster.setNode(id, (node) => ({
    ...node,
    description: node.description && { ...node.description, nanoCpus },
  }));
}

test('a node that became smaller keeps what has priority, then what came first', () => {
  const { cluster, services, small } = reserving([{}, {}, { 'muster.priority': '50' }]);
  resize(cluster, small, 2e9);
  cluster.converge();
  const [first, second, important] = services.map((id) => cluster.running(id)[0]?.nodeId);
  expect([first, important]).toEqual([small, small]);
  expect(second).not.toBe(small);
  expect(second).toBeDefined();
});

test('a paused node keeps what it has, until it is active again', () => {
  const { cluster, services, small } = reserving([{}, {}]);
  cluster.setAvailability(small, 'pause');
  resize(cluster, small, 1e9);
  cluster.converge();
  expect(services.map((id) => cluster.running(id)[0]?.nodeId)).toEqual([small, small]);
  cluster.setAvailability(small, 'active');
  cluster.converge();
  expect(services.map((id) => cluster.running(id)[0]?.nodeId === small)).toEqual([true, false]);
});

test('what is over counts for nothing', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const [node] = cluster.tables.list('node');
  const reserve = { Reservations: { NanoCPUs: 3e9 } };
  const TaskTemplate = { ContainerSpec: { Image: 'a' }, Resources: reserve };
  cluster.createService({
    Name: 'done',
    TaskTemplate,
    Mode: { ReplicatedJob: { TotalCompletions: 1 } },
  });
  cluster.converge();
  const web = cluster.createService(webSpec({ replicas: 1, TaskTemplate }));
  cluster.converge();
  const [before] = cluster.running(web);
  resize(cluster, node?.id as NodeId, 3.5e9);
  cluster.converge();
  expect(cluster.running(web)).toEqual([before]);
});

test.each([
  ['a name is gone', [{ kind: 'gpu', amount: 1, names: ['b'] }]],
  ['names became a number', [{ kind: 'gpu', amount: 0 }]],
  ['the kind is gone', []],
])('a task loses its node when of what it holds %s', (_what, genericResources) => {
  const cluster = new DecideCluster();
  const offering = (names: readonly string[]): NodeId =>
    cluster.addNode({
      description: {
        hostname: 'h',
        os: 'linux',
        architecture: 'x86_64',
        nanoCpus: 4e9,
        memoryBytes: 2 ** 33,
        engineVersion: '28',
        engineLabels: {},
        plugins: [],
        genericResources: [{ kind: 'gpu', amount: names.length, names }],
      },
    }).id;
  const node = offering(['a', 'b']);
  const asked = [{ DiscreteResourceSpec: { Kind: 'gpu', Value: 1 } }];
  const web = cluster.createService(
    webSpec({
      replicas: 1,
      TaskTemplate: {
        ContainerSpec: { Image: 'a' },
        Resources: { Reservations: { GenericResources: asked } },
      },
    }),
  );
  cluster.converge();
  const other = offering(['c']);
  cluster.converge();
  expect(cluster.running(web)[0]?.nodeId).toBe(node);
  cluster.setNode(node, (one) => ({
    ...one,
    description: one.description && { ...one.description, genericResources },
  }));
  cluster.converge();
  expect(cluster.running(web)[0]?.nodeId).toBe(other);
  expect(cluster.tasks(web).find(({ nodeId }) => nodeId === node)?.status.error).toBe(
    'assigned node no longer offers gpu a',
  );
});
