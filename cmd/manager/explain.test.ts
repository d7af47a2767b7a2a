import { expect, test } from 'vitest';
import type { NodeId, Task } from '../../pkg/model/index.ts';
import { DecideCluster, webSpec, withImage } from '../../test/sim/decide-cluster.ts';
import { explainService, explainTask } from './explain.ts';

const MIB = 2 ** 20;

function labelled(cluster: DecideCluster, name: string, Labels: Record<string, string>): NodeId {
  const node = cluster.addNode({
    spec: { Name: name, Role: 'worker', Availability: 'active', Labels },
  });
  return node.id;
}

function first(cluster: DecideCluster): Task {
  const [task] = cluster.tables.list('task');
  if (!task) throw new Error('no task');
  return task;
}

test('a task that waits names the nodes that refuse it and the least that would help', () => {
  const cluster = new DecideCluster();
  labelled(cluster, 'h1', { zone: 'a' });
  labelled(cluster, 'h2', { zone: 'b' });
  labelled(cluster, 'h3', {});
  cluster.setAvailability(labelled(cluster, 'h4', { zone: 'a' }), 'drain');
  cluster.createService(
    webSpec({
      replicas: 1,
      TaskTemplate: {
        ContainerSpec: { Image: 'nginx' },
        Placement: { Constraints: ['node.labels.zone == a'] },
        Resources: { Reservations: { MemoryBytes: (8 * 1024 + 128) * MIB } },
      },
    }),
  );
  cluster.settle();
  const { placement } = explainTask(cluster.tables, first(cluster).id, cluster.now) as never as {
    placement: Record<string, unknown>;
  };
  expect(placement).toMatchObject({
    nodesAsked: 4,
    nodesThatFit: 0,
    refusals: [
      { filter: 'resources', nodes: ['h1', 'h2', 'h3'] },
      { filter: 'ready', nodes: ['h4'] },
    ],
    suggestions: [{ text: 'reserve 128 MiB less memory: 1 node would fit', nodes: ['h1'] }],
  });
});

test.each([
  ['node.labels.zone == c', 'label zone=c on any of these nodes', ['h1', 'h2']],
  [
    'node.role == manager',
    'give up constraint node.role == manager: 2 nodes would fit',
    ['h1', 'h2'],
  ],
])('a task kept waiting by %s is helped by "%s"', (constraint, text, nodes) => {
  const cluster = new DecideCluster();
  labelled(cluster, 'h1', {});
  labelled(cluster, 'h2', {});
  cluster.setAvailability(labelled(cluster, 'h3', {}), 'pause');
  const template = { ContainerSpec: { Image: 'nginx' }, Placement: { Constraints: [constraint] } };
  cluster.createService(webSpec({ replicas: 1, TaskTemplate: template }));
  cluster.settle();
  expect(explainTask(cluster.tables, first(cluster).id, cluster.now)).toMatchObject({
    placement: { suggestions: [{ text, nodes }] },
  });
});

test('a node that only has to be activated is named', () => {
  const cluster = new DecideCluster();
  cluster.setAvailability(labelled(cluster, 'h3', {}), 'pause');
  const id = cluster.createService(webSpec({ replicas: 2 }));
  cluster.settle();
  expect(explainService(cluster.tables, id, cluster.now)).toMatchObject({
    running: 0,
    wanted: 2,
    pending: [{ tasks: 2, placement: { suggestions: [{ text: 'activate node h3' }] } }],
  });
});

test('what is suggested really lets the task run', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const reserve = (MemoryBytes: number): object => ({
    ContainerSpec: { Image: 'nginx' },
    Resources: { Reservations: { MemoryBytes } },
  });
  cluster.createService(webSpec({ Name: 'old', replicas: 1, TaskTemplate: reserve(1000 * MIB) }));
  const id = cluster.createService(webSpec({ replicas: 2, TaskTemplate: reserve(8000 * MIB) }));
  cluster.settle();
  expect(
    cluster
      .runnable(id)
      .map(({ status }) => status.state)
      .toSorted(),
  ).toEqual(['assigned', 'pending']);
  expect(explainService(cluster.tables, id, cluster.now)).toMatchObject({
    pending: [
      { placement: { suggestions: [{ text: 'reserve 808 MiB less memory: 1 node would fit' }] } },
    ],
  });
  cluster.updateService(id, (spec) => ({ ...spec, TaskTemplate: reserve((8000 - 808) * MIB) }));
  cluster.settle();
  cluster.advance(60_000);
  cluster.converge();
  expect(cluster.running(id)).toHaveLength(2);
});

test('a restarted task tells how the ones before it ended and when it starts', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const RestartPolicy = { Condition: 'any', Delay: 30e9, MaxAttempts: 3 };
  const template = { ContainerSpec: { Image: 'nginx' }, RestartPolicy };
  const id = cluster.createService(webSpec({ replicas: 1, TaskTemplate: template }));
  cluster.converge();
  cluster.report(first(cluster).id, 'failed', 'task: non-zero exit (7)');
  cluster.settle();
  const held = cluster.runnable(id)[0];
  if (!held) throw new Error('no restarted task');
  expect(explainTask(cluster.tables, held.id, cluster.now)).toMatchObject({
    placement: { nodesThatFit: 1, ranking: [{ tasksOfService: 0 }] },
    slot: {
      attempts: 1,
      policy: { maxAttempts: 3 },
      startAt: cluster.now + 30_000,
      waitsFor: 'its restart delay',
      earlier: [{ state: 'failed', error: 'task: non-zero exit (7)', replacedBecause: 'ended' }],
    },
  });
});

test('an update under way says what it waits for', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const UpdateConfig = { Parallelism: 1, Delay: 60e9, Monitor: 5e9 };
  const id = cluster.createService(webSpec({ replicas: 3, UpdateConfig }));
  cluster.converge();
  cluster.updateService(id, (spec) => withImage(spec, 'nginx:2'));
  cluster.settle();
  expect(explainService(cluster.tables, id, cluster.now)).toMatchObject({
    update: { state: 'updating', slotsTotal: 3, slotsLeft: 2, failuresAllowed: 0 },
  });
  cluster.converge();
  expect(explainService(cluster.tables, id, cluster.now)).toMatchObject({
    update: {
      waitsFor: [
        expect.stringMatching(/^slot \d to stand its monitor period \(5\.0 s left\)$/),
        'the delay between slots (60.0 s left)',
      ],
    },
  });
});
