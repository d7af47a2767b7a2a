import { expect, test } from 'vitest';
import { DecideCluster, webSpec } from '../../test/sim/decide-cluster.ts';
import type { ServiceSpec } from '../model/index.ts';

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
