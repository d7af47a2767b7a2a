import { expect, test } from 'vitest';
import type { Dirty, ServiceId, Slot, Tables, TaskId, View } from '../../pkg/model/index.ts';
import { DecideCluster, webSpec } from '../../test/sim/decide-cluster.ts';
import { LEADER_LOOPS } from './leader.ts';

const NOTHING: Dirty = {
  services: new Set(),
  slots: new Map(),
  tasks: new Set(),
  nodes: new Set(),
  networks: new Set(),
  cluster: false,
};

/** The same view, noting which lists are walked. */
function watched(tables: Tables, walked: Set<string>): View {
  return new Proxy(tables, {
    get: (target, key): unknown => {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      return (...args: readonly unknown[]): unknown => {
        if (key === 'list') walked.add(String(args[0]));
        if (key === 'tasksOfService') walked.add('tasks of a service');
        return Reflect.apply(value, target, args);
      };
    },
  });
}

function walkedBy(cluster: DecideCluster, dirty: Dirty): ReadonlySet<string> {
  const walked = new Set<string>();
  const view = watched(cluster.tables, walked);
  const newTaskId = (): TaskId => cluster.id('t') as TaskId;
  const { now } = cluster;
  for (const decide of LEADER_LOOPS) {
    expect(decide({ view, dirty, now, monotonicMs: now, newTaskId }).changes).toEqual([]);
  }
  return walked;
}

test('a pass that has nothing to place does not walk all tasks, whatever changed', () => {
  const cluster = new DecideCluster({ nodes: 3 });
  const id = cluster.createService(webSpec({ replicas: 6 }));
  cluster.createService(webSpec({ Name: 'everywhere', Mode: { Global: {} } }));
  cluster.converge();
  const [task] = cluster.running(id);
  if (!task?.nodeId) throw new Error('nothing runs');
  expect(walkedBy(cluster, NOTHING)).not.toContain('task');
  const one = { tasks: new Set([task.id]), nodes: new Set([task.nodeId]), services: new Set([id]) };
  expect(walkedBy(cluster, { ...NOTHING, ...one })).not.toContain('task');
});

test('a change of some tasks or of a node looks at no other slots of their services', () => {
  const cluster = new DecideCluster({ nodes: 4 });
  const id = cluster.createService(webSpec({ replicas: 8 }));
  const everywhere = cluster.createService(webSpec({ Name: 'everywhere', Mode: { Global: {} } }));
  cluster.converge();
  const [task] = cluster.running(id);
  if (!task?.nodeId) throw new Error('nothing runs');
  const one = {
    tasks: new Set([task.id]),
    nodes: new Set([task.nodeId]),
    services: new Set([id, everywhere]),
    slots: new Map<ServiceId, ReadonlySet<Slot>>([
      [id, new Set([task.slot])],
      [everywhere, new Set([task.nodeId])],
    ]),
  };
  expect(walkedBy(cluster, { ...NOTHING, ...one })).not.toContain('tasks of a service');
  const whole = { ...one, slots: new Map() };
  expect(walkedBy(cluster, { ...NOTHING, ...whole })).toContain('tasks of a service');
});

test('a task that fits nowhere costs nothing until something makes room', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const Resources = { Reservations: { MemoryBytes: 5 * 2 ** 30 } };
  const template = { ContainerSpec: { Image: 'nginx' }, Resources };
  const id = cluster.createService(webSpec({ replicas: 2, TaskTemplate: template }));
  cluster.converge();
  const [runs] = cluster.running(id);
  if (!runs) throw new Error('nothing runs');
  expect(walkedBy(cluster, { ...NOTHING, tasks: new Set([runs.id]) })).not.toContain('task');
  const waits = cluster.runnable(id).find(({ status }) => status.state === 'pending');
  cluster.report(runs.id, 'failed');
  cluster.settle();
  expect(cluster.tables.get('task', waits?.id as TaskId)?.status.state).toBe('assigned');
});
