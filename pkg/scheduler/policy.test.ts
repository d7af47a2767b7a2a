/** What services ask for with `muster.…` labels, and generic resources. */
import { expect, test, vi } from 'vitest';
import { DecideCluster, webSpec } from '../../test/sim/decide-cluster.ts';
import type { Node, NodeId, ServiceId, ServiceSpec } from '../model/index.ts';
import { Ranking } from './ranking.ts';

function named(cluster: DecideCluster, name: string, change: Partial<Node> = {}): NodeId {
  const Labels = change.spec?.Labels;
  const spec = { Name: name, Role: 'worker', Availability: 'active', Labels } as const;
  return cluster.addNode({ ...change, spec }).id;
}

function labelled(cluster: DecideCluster, name: string, Labels: Record<string, string>): NodeId {
  return named(cluster, name, { spec: { Role: 'worker', Availability: 'active', Labels } });
}

function perNode(cluster: DecideCluster, id: ServiceId): readonly number[] {
  return [...cluster.tables.list('node')].map(
    (node) => cluster.runnable(id).filter(({ nodeId }) => nodeId === node.id).length,
  );
}

interface Wish {
  readonly name?: string;
  readonly replicas?: number;
  readonly labels?: Record<string, string>;
  readonly cpus?: number;
  readonly gpus?: number;
}

function spec({ name = 'web', replicas = 1, labels = {}, cpus = 0, gpus = 0 }: Wish): ServiceSpec {
  const generic = gpus > 0 ? [{ DiscreteResourceSpec: { Kind: 'gpu', Value: gpus } }] : [];
  return webSpec({
    Name: name,
    replicas,
    Labels: labels,
    TaskTemplate: {
      ContainerSpec: { Image: `${name}:1` },
      Resources: { Reservations: { NanoCPUs: cpus * 1e9, GenericResources: generic } },
    },
  });
}

test('binpack fills a node before it takes the next', () => {
  const cluster = new DecideCluster({ nodes: 3 });
  const labels = { 'muster.strategy': 'binpack' };
  const web = cluster.createService(spec({ replicas: 6, cpus: 1, labels }));
  cluster.settle();
  expect(perNode(cluster, web)).toEqual([4, 2, 0]);
});

test('spread prefers the node that reserves a quarter less, then the one with fewer tasks', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const big = cluster.createService(spec({ name: 'big', cpus: 3 }));
  cluster.settle();
  const small = cluster.createService(spec({ name: 'small', replicas: 2 }));
  cluster.settle();
  expect(perNode(cluster, big)).toEqual([1, 0]);
  expect(perNode(cluster, small)).toEqual([1, 1]);
  const next = cluster.createService(spec({ name: 'next' }));
  cluster.settle();
  expect(perNode(cluster, next)).toEqual([0, 1]);
});

test('with equal numbers a zone with fewer tasks of the service comes first', () => {
  const cluster = new DecideCluster();
  for (const zone of ['a', 'a', 'a', 'b']) labelled(cluster, `h${zone}`, { zone });
  const web = cluster.createService(spec({ replicas: 2 }));
  cluster.settle();
  expect(perNode(cluster, web)).toEqual([1, 0, 0, 1]);
});

test('a thousand tasks on a thousand nodes cost no look at every node for each of them', () => {
  const cluster = new DecideCluster({ nodes: 1000 });
  const web = cluster.createService(spec({ replicas: 1000 }));
  const read = vi.spyOn(Ranking.prototype, 'rank');
  cluster.pass();
  expect(read.mock.calls.length).toBeLessThanOrEqual(3000);
  read.mockRestore();
  expect(perNode(cluster, web).every((tasks) => tasks === 1)).toBe(true);
});

test('a node that has the image wins a tie', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const [, second] = [...cluster.tables.list('node')];
  const labels = { 'muster.prefer': `node.id==${second?.id}` };
  cluster.createService(spec({ name: 'same', labels }));
  cluster.createService(
    spec({ name: 'other', labels: { 'muster.avoid': `node.id==${second?.id}` } }),
  );
  cluster.settle();
  const twin = cluster.createService({
    ...spec({ name: 'twin' }),
    TaskTemplate: { ContainerSpec: { Image: 'same:1' } },
  });
  cluster.settle();
  expect(perNode(cluster, twin)).toEqual([0, 1]);
});

test('preferred nodes are taken first, avoided ones last, and neither is a must', () => {
  const cluster = new DecideCluster();
  labelled(cluster, 'h1', { old: 'yes' });
  labelled(cluster, 'h2', {});
  labelled(cluster, 'h3', { disk: 'ssd' });
  const labels = {
    'muster.prefer': 'node.labels.disk == ssd',
    'muster.avoid': 'node.labels.old exists',
  };
  const web = cluster.createService(spec({ replicas: 9, cpus: 1, labels }));
  cluster.settle();
  expect(perNode(cluster, web)).toEqual([1, 4, 4]);
});

test('services keep near to or away from another', () => {
  const cluster = new DecideCluster({ nodes: 3 });
  const db = cluster.createService(spec({ name: 'db' }));
  cluster.settle();
  const near = cluster.createService(
    spec({ name: 'near', labels: { 'muster.prefer': 'service==db' } }),
  );
  const far = cluster.createService(
    spec({ name: 'far', replicas: 2, labels: { 'muster.avoid': 'service == db' } }),
  );
  cluster.settle();
  expect(perNode(cluster, db)).toEqual([1, 0, 0]);
  expect(perNode(cluster, near)).toEqual([1, 0, 0]);
  expect(perNode(cluster, far)).toEqual([0, 1, 1]);
});

test('generic resources are counted, named, and given back', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const [first] = cluster.tables.list('node');
  cluster.setNode(first?.id as NodeId, (node) => ({
    ...node,
    description: node.description && {
      ...node.description,
      genericResources: [{ kind: 'gpu', amount: 3, names: ['a', 'b', 'c'] }],
    },
  }));
  const one = cluster.createService(spec({ name: 'one', gpus: 2 }));
  cluster.converge();
  const two = cluster.createService(spec({ name: 'two', gpus: 2 }));
  cluster.settle();
  expect(cluster.tasks(one)[0]?.genericResources).toEqual([
    { kind: 'gpu', amount: 2, names: ['a', 'b'] },
  ]);
  expect(cluster.tasks(two)[0]?.status.error).toBe('no suitable node (insufficient gpu on 1 node)');
  cluster.removeService(one);
  cluster.converge();
  expect(cluster.tasks(two)[0]?.genericResources).toEqual([
    { kind: 'gpu', amount: 2, names: ['a', 'b'] },
  ]);
});

test('the higher priority is placed first when there is little room', () => {
  const cluster = new DecideCluster();
  const low = cluster.createService(spec({ name: 'low', replicas: 4, cpus: 1 }));
  const high = cluster.createService(
    spec({ name: 'high', replicas: 3, cpus: 1, labels: { 'muster.priority': '50' } }),
  );
  cluster.settle();
  cluster.addNode();
  cluster.settle();
  expect(perNode(cluster, high)).toEqual([3]);
  expect(perNode(cluster, low)).toEqual([1]);
});

const URGENT = { 'muster.priority': '50', 'muster.preempt': 'true' };

test('without preemption a full node is full, whatever the priority', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const low = cluster.createService(spec({ name: 'low', replicas: 4, cpus: 1 }));
  cluster.converge();
  const high = cluster.createService(
    spec({ name: 'high', cpus: 1, labels: { 'muster.priority': '50' } }),
  );
  cluster.converge();
  expect(cluster.running(low).length).toBe(4);
  expect(cluster.running(high).length).toBe(0);
});

test('preemption stops the fewest tasks of clearly lower priority, and their replacements wait', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const near = cluster.createService(
    spec({ name: 'near', replicas: 2, cpus: 1, labels: { 'muster.priority': '45' } }),
  );
  cluster.settle();
  const low = cluster.createService(spec({ name: 'low', replicas: 6, cpus: 1 }));
  cluster.converge();
  const high = cluster.createService(spec({ name: 'high', cpus: 2, labels: URGENT }));
  cluster.settle();
  const stopping = cluster.tasks(low).filter(({ desiredState }) => desiredState === 'shutdown');
  expect(stopping.map(({ status }) => status.error)).toEqual([
    'preempted by high.1 (priority 50)',
    'preempted by high.1 (priority 50)',
  ]);
  expect(new Set(stopping.map(({ nodeId }) => nodeId)).size).toBe(1);
  cluster.report(stopping[0]?.id as never, 'shutdown');
  cluster.settle();
  expect(cluster.runnable(high)[0]?.status.state).toBe('pending');
  cluster.converge();
  expect(cluster.running(high).length).toBe(1);
  expect(cluster.running(near).length).toBe(2);
  expect(cluster.running(low).length).toBe(4);
});

test('preemption leaves what a service must have', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const labels = { 'muster.min-available': '75%' };
  const low = cluster.createService(spec({ name: 'low', replicas: 4, cpus: 1, labels }));
  cluster.converge();
  const high = cluster.createService(spec({ name: 'high', replicas: 2, cpus: 1, labels: URGENT }));
  cluster.converge();
  expect(cluster.running(low).length).toBe(3);
  expect(cluster.running(high).length).toBe(1);
});

test('a node where several services fail that stand elsewhere is the last choice for all', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const [bad, good] = [...cluster.tables.list('node')].map(({ id }) => id);
  const services = ['one', 'two'].map((name) =>
    cluster.createService({
      ...spec({ name, replicas: 2 }),
      TaskTemplate: { ContainerSpec: { Image: 'a' }, RestartPolicy: { Delay: 0 } },
    }),
  );
  cluster.converge();
  cluster.setAvailability(good as NodeId, 'pause');
  for (let round = 0; round < 3; round++) {
    for (const id of services) {
      const task = cluster.runnable(id).find(({ nodeId }) => nodeId === bad);
      if (task) cluster.report(task.id, 'failed');
    }
    cluster.settle();
  }
  cluster.setAvailability(good as NodeId, 'active');
  const fresh = cluster.createService(spec({ name: 'fresh', replicas: 3 }));
  cluster.settle();
  expect(perNode(cluster, fresh)).toEqual([0, 3]);
  cluster.advance(301_000);
  const later = cluster.createService(spec({ name: 'later', replicas: 2 }));
  cluster.settle();
  expect(perNode(cluster, later)).toEqual([1, 1]);
});
