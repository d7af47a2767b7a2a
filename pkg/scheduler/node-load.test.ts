import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  createObject,
  DraftTables,
  type InstantMs,
  type Node,
  type NodeId,
  removeObject,
  type ServiceId,
  Tables,
  type Task,
  type TaskId,
  type TaskState,
  updateObject,
  VERSION_NONE,
  type Version,
  type View,
} from '../model/index.ts';
import { addTask, type Demand, measureLoad, type NodeLoad } from './node-load.ts';

const NOW = 1_000_000 as InstantMs;
const NODES: readonly NodeId[] = ['n1', 'n2', 'n3'].map((id) => id as NodeId);
const STATES: readonly TaskState[] = ['pending', 'assigned', 'running', 'failed', 'shutdown'];

const edits = fc.array(
  fc.record({
    id: fc.integer({ min: 0, max: 7 }),
    node: fc.integer({ min: 0, max: NODES.length - 1 }),
    state: fc.constantFrom(...STATES),
    removed: fc.constantFrom(false, false, false, true),
    stopping: fc.boolean(),
    place: fc.boolean(),
  }),
  { maxLength: 40 },
);
type Edit = typeof edits extends fc.Arbitrary<readonly (infer One)[]> ? One : never;

function taskOf({ id, node, state, stopping }: Edit, known: Task | undefined): Task {
  return {
    id: `t${id}` as TaskId,
    version: known?.version ?? VERSION_NONE,
    createdAt: NOW,
    updatedAt: NOW,
    serviceId: `s${id % 3}` as ServiceId,
    serviceName: 'web',
    specVersion: 1 + (id % 2),
    slot: id,
    nodeId: state === 'pending' ? undefined : NODES[node],
    desiredState: stopping ? 'shutdown' : 'running',
    status: { state, at: (NOW - id * 100_000) as InstantMs, message: '' },
    networks: [],
    genericResources: [{ kind: 'gpu', amount: 1, names: [`${id}`] }],
  };
}

function demandOf({ slot }: Task): Demand {
  const hostPorts = [`tcp/${slot}`];
  return { nanoCpus: slot, memoryBytes: 10 * slot, generic: [], hostPorts, image: `i${slot % 2}` };
}

function added(view: View): readonly unknown[] {
  return [...measureLoad(view, demandOf, NOW).values()].map(({ shared: _, ...load }) => load);
}

/** The same view without anything kept. */
function forgetful(view: View): View {
  return new Proxy(view, {
    get: (target, key): unknown => {
      if (key === 'stampOfNode') return () => undefined;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

test('what is kept of a node between passes is what adding up anew gives, whatever changes and is placed', () => {
  fc.assert(
    fc.property(edits, (list) => {
      const tables = new Tables();
      const nodes = NODES.map((id) => createObject('node', { id } as Node));
      tables.apply(nodes, 1 as Version, NOW);
      for (const [at, edit] of list.entries()) {
        const known = tables.get('task', `t${edit.id}` as TaskId);
        const task = taskOf(edit, known);
        const put = known ? updateObject('task', task) : createObject('task', task);
        const change = edit.removed && known ? removeObject('task', known) : put;
        const draft = new DraftTables(tables);
        draft.add(change);
        expect(added(draft)).toEqual(added(forgetful(draft)));
        tables.apply([change], (at + 2) as Version, NOW);
        const before = added(forgetful(tables));
        expect(added(tables)).toEqual(before);
        const load = measureLoad(tables, demandOf, NOW).get(NODES[edit.node] as NodeId);
        if (edit.place) addTask(load as NodeLoad, task, demandOf(task));
        expect(added(tables)).toEqual(before);
      }
    }),
  );
});

test('nodes of which no task changed cost nothing but themselves', () => {
  const tables = new Tables();
  tables.apply(
    NODES.map((id) => createObject('node', { id } as Node)),
    1 as Version,
    NOW,
  );
  const edit: Edit = {
    id: 1,
    node: 0,
    state: 'running',
    removed: false,
    stopping: false,
    place: false,
  };
  const tasks = [1, 2, 3].map((id) => taskOf({ ...edit, id, node: id - 1 }, undefined));
  tables.apply(
    tasks.map((task) => createObject('task', task)),
    2 as Version,
    NOW,
  );
  const asked = (): readonly string[] => {
    const seen: string[] = [];
    const noting = (task: Task): Demand => {
      seen.push(task.id);
      return demandOf(task);
    };
    measureLoad(tables, noting, NOW);
    return seen;
  };
  expect(asked()).toEqual(['t1', 't2', 't3']);
  expect(asked()).toEqual([]);
  const known = tables.get('task', 't1' as TaskId) as Task;
  tables.apply([updateObject('task', { ...known, desiredState: 'shutdown' })], 3 as Version, NOW);
  expect(asked()).toEqual(['t1']);
});
