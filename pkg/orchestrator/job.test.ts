import { expect, test } from 'vitest';
import { DecideCluster, webSpec } from '../../test/sim/decide-cluster.ts';
import type { Node, NodeId, ServiceId, ServiceSpec, TaskId } from '../model/index.ts';

function job(Mode: ServiceSpec['Mode']): ServiceSpec {
  return { ...webSpec(), Name: 'batch', Mode };
}

test('a replicated job runs `total` tasks to completion, `concurrent` at a time, in slots from 0', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const mode = { ReplicatedJob: { MaxConcurrent: 2, TotalCompletions: 5 } };
  const batch = cluster.createService(job(mode));
  cluster.settle();
  expect(cluster.tasks(batch).map((task) => task.slot)).toEqual([0, 1]);
  cluster.converge();
  const done = cluster.tasks(batch).filter((task) => task.status.state === 'complete');
  expect(done.map((task) => task.slot)).toEqual([0, 1, 2, 3, 4]);
  cluster.advance(60_000);
  expect(cluster.tasks(batch).length).toBe(5);
});

test('a failed task of a job is tried again after the delay', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const batch = cluster.createService(job({ ReplicatedJob: { TotalCompletions: 1 } }));
  cluster.settle();
  const [task] = cluster.tasks(batch);
  if (!task) throw new Error('no task');
  cluster.report(task.id, 'failed');
  cluster.settle();
  expect(cluster.runnable(batch).map((other) => other.desiredState)).toEqual(['ready']);
  cluster.advance(5_000);
  expect(cluster.runnable(batch).map((other) => other.desiredState)).toEqual(['complete']);
  cluster.converge();
  expect(cluster.tasks(batch).at(-1)?.status.state).toBe('complete');
});

test('a global job runs once on every node', () => {
  const cluster = new DecideCluster({ nodes: 3 });
  const batch = cluster.createService(job({ GlobalJob: {} }));
  cluster.converge();
  const done = cluster.tasks(batch).filter((task) => task.status.state === 'complete');
  expect(new Set(done.map((task) => task.nodeId)).size).toBe(3);
});

test('a forced update runs the job again', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const batch = cluster.createService(job({ ReplicatedJob: { TotalCompletions: 2 } }));
  cluster.converge();
  cluster.updateService(batch, (spec) => ({
    ...spec,
    TaskTemplate: { ...spec.TaskTemplate, ForceUpdate: 1 },
  }));
  cluster.converge();
  expect(cluster.service(batch).jobIteration).toBe(1);
  expect(cluster.tasks(batch).map((task) => [task.jobIteration, task.status.state])).toEqual([
    [1, 'complete'],
    [1, 'complete'],
  ]);
});

function states(cluster: DecideCluster, id: ServiceId): readonly string[] {
  return cluster.tasks(id).map(({ slot, status }) => `${slot} ${status.state}`);
}

test.each([
  ['none', 0, 1],
  ['on-failure', 2, 3],
  ['any', 0, 6],
])(
  'a job with restart condition %s and %i attempts is tried %i times',
  (Condition, MaxAttempts, tries) => {
    const cluster = new DecideCluster({ nodes: 1 });
    const spec = job({ ReplicatedJob: { TotalCompletions: 1 } });
    const batch = cluster.createService({
      ...spec,
      TaskTemplate: { ...spec.TaskTemplate, RestartPolicy: { Condition, MaxAttempts, Delay: 1e9 } },
    });
    let tried = 0;
    for (let round = 0; round < 6; round++) {
      cluster.settle();
      const [task] = cluster.runnable(batch);
      if (task) {
        tried += 1;
        cluster.report(task.id, 'failed');
      }
      cluster.settle();
      cluster.advance(60_000);
    }
    expect(tried).toBe(tries);
  },
);

test('no more tasks run than may and no more are made than are wanted, while some stop or fail', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const batch = cluster.createService(
    job({ ReplicatedJob: { MaxConcurrent: 3, TotalCompletions: 4 } }),
  );
  cluster.settle();
  const [first, second] = cluster.tasks(batch);
  cluster.report(first?.id as TaskId, 'complete');
  cluster.report(second?.id as TaskId, 'failed');
  cluster.settle();
  expect(
    cluster
      .runnable(batch)
      .map(({ slot }) => slot)
      .toSorted(),
  ).toEqual([1, 2, 3]);
  expect(states(cluster, batch)[0]).toBe('0 complete');
  cluster.advance(5_000);
  cluster.converge();
  const done = cluster.tasks(batch).filter(({ status }) => status.state === 'complete');
  expect(done.map(({ slot }) => slot).toSorted()).toEqual([0, 1, 2, 3]);
});

test('fewer completions than are done already end the job', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const batch = cluster.createService(
    job({ ReplicatedJob: { MaxConcurrent: 1, TotalCompletions: 3 } }),
  );
  cluster.converge();
  cluster.updateService(batch, (spec) => ({
    ...spec,
    Mode: { ReplicatedJob: { MaxConcurrent: 1, TotalCompletions: 1 } },
  }));
  cluster.converge();
  expect(cluster.runnable(batch)).toEqual([]);
  expect(states(cluster, batch)).toEqual(['0 complete', '1 complete', '2 complete']);
});

test('a new iteration takes the tasks of the old one away while they run', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const batch = cluster.createService(job({ GlobalJob: {} }));
  cluster.settle();
  const [old] = cluster.tasks(batch);
  cluster.updateService(batch, (spec) => ({
    ...spec,
    TaskTemplate: { ...spec.TaskTemplate, ForceUpdate: 1 },
  }));
  cluster.settle();
  expect(cluster.tables.get('task', old?.id as TaskId)?.desiredState).toBe('remove');
  expect(cluster.runnable(batch).map(({ jobIteration }) => jobIteration)).toEqual([1]);
  cluster.converge();
  expect(cluster.tasks(batch).map(({ status }) => status.state)).toEqual(['complete']);
});

test('a global job runs on matching nodes that are ready and active, also on those that come to be', () => {
  const cluster = new DecideCluster();
  const node = (zone: string, change: Partial<Node['spec']> = {}): NodeId =>
    cluster.addNode({
      spec: { Role: 'worker', Availability: 'active', Labels: { zone }, ...change },
    }).id;
  const good = node('a');
  node('b');
  node('a', { Availability: 'pause' });
  node('a', { Availability: 'drain' });
  const spec = job({ GlobalJob: {} });
  const batch = cluster.createService({
    ...spec,
    TaskTemplate: { ...spec.TaskTemplate, Placement: { Constraints: ['node.labels.zone==a'] } },
  });
  cluster.converge();
  expect(cluster.tasks(batch).map(({ nodeId }) => nodeId)).toEqual([good]);
  const late = node('a');
  cluster.converge();
  expect(cluster.tasks(batch).map(({ nodeId }) => nodeId)).toEqual([good, late]);
  cluster.advance(600_000);
  expect(cluster.tasks(batch).length).toBe(2);
});

test('a task of a global job on a node that is drained or leaves is stopped and not made again there', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const batch = cluster.createService(job({ GlobalJob: {} }));
  cluster.settle();
  const [drained, leaving] = [...cluster.tables.list('node')].map(({ id }) => id);
  cluster.setAvailability(drained as NodeId, 'drain');
  cluster.removeNode(leaving as NodeId);
  cluster.converge();
  cluster.advance(60_000);
  expect(cluster.runnable(batch)).toEqual([]);
});

test('removing a job removes its tasks', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const batch = cluster.createService(job({ ReplicatedJob: { TotalCompletions: 3 } }));
  cluster.settle();
  cluster.removeService(batch);
  cluster.converge();
  expect(cluster.tasks(batch)).toEqual([]);
});
