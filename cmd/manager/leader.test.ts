import { expect, test } from 'vitest';
import {
  type Dirty,
  DraftTables,
  type ServiceId,
  type Slot,
  type Tables,
  type TaskId,
  type View,
} from '../../pkg/model/index.ts';
import { DirtySet } from '../../pkg/store/index.ts';
import { DecideCluster, webSpec } from '../../test/sim/decide-cluster.ts';
import { LEADER_LOOPS } from './leader.ts';

const NOTHING: Dirty = {
  services: new Set(),
  slots: new Map(),
  tasks: new Set(),
  nodes: new Set(),
  networks: new Set(),
  volumes: new Set(),
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

const TASKS = 1600;
/** Three lists that are walked one after the other may each lack one task to their next pause. */
const LOOKS_MAX = 1500;

/** The same view, counting how many tasks are looked at. */
function counted(tables: Tables, note: () => void): View {
  const walk = function* (list: Iterable<unknown>): Iterable<unknown> {
    for (const object of list) {
      note();
      yield object;
    }
  };
  return new Proxy(tables, {
    get: (target, key): unknown => {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      return (...args: readonly unknown[]): unknown => {
        const found: unknown = Reflect.apply(value, target, args);
        if (key === 'get' && args[0] === 'task') note();
        const tasks = key === 'list' ? args[0] === 'task' : /[tT]asks/.test(String(key));
        return tasks ? walk(found as Iterable<unknown>) : found;
      };
    },
  });
}

test('no step of what a new leader decides looks at more than some hundred tasks', () => {
  const cluster = new DecideCluster({ nodes: 3 });
  const nowhere = { Constraints: ['node.labels.nowhere==1'] };
  const template = { ContainerSpec: { Image: 'nginx' }, Placement: nowhere };
  const runs = cluster.createService(webSpec({ replicas: TASKS }));
  const waits = cluster.createService(
    webSpec({ Name: 'waits', replicas: TASKS, TaskTemplate: template }),
  );
  cluster.converge();
  // As many again have to be made, and given their places.
  const Mode = { Replicated: { Replicas: 2 * TASKS } };
  for (const id of [runs, waits]) cluster.updateService(id, (spec) => ({ ...spec, Mode }));
  let looks = 0;
  const most = new Map<string, number>();
  const draft = new DraftTables(
    counted(cluster.tables, () => {
      looks += 1;
    }),
  );
  const { now } = cluster;
  const newTaskId = (): TaskId => cluster.id('t') as TaskId;
  const dirty = DirtySet.everything(cluster.tables);
  for (const decide of LEADER_LOOPS) {
    const steps = decide.steps?.({ view: draft, dirty, now, monotonicMs: now, newTaskId });
    if (!steps) throw new Error(`${decide.name} cannot pause`);
    for (;;) {
      looks = 0;
      const { done, value } = steps.next();
      most.set(decide.name, Math.max(most.get(decide.name) ?? 0, looks));
      if (!done) continue;
      for (const change of value.changes) expect(draft.add(change)).toBeUndefined();
      break;
    }
  }
  expect(draft.changes.length).toBeGreaterThan(2 * TASKS);
  expect([...most].filter(([, looked]) => looked > LOOKS_MAX)).toEqual([]);
});
