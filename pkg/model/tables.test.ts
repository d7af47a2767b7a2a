import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Change, createObject, removeObject, updateObject } from './change.ts';
import { DraftTables } from './draft-tables.ts';
import {
  type InstantMs,
  type NetworkId,
  type NodeId,
  type ServiceId,
  type TaskId,
  VERSION_NONE,
  type Version,
} from './id.ts';
import type { Node } from './node.ts';
import type { Slot } from './slot-tasks.ts';
import { Tables } from './tables.ts';
import type { Task, TaskState } from './task.ts';
import type { View } from './view.ts';

const NOW = 1 as InstantMs;

interface Edit {
  readonly what: 'put' | 'remove';
  readonly id: number;
  readonly node: number;
  readonly network: number;
}

const edits = fc.array(
  fc.record({
    what: fc.constantFrom('put' as const, 'put' as const, 'remove' as const),
    id: fc.integer({ min: 0, max: 9 }),
    node: fc.integer({ min: 0, max: 2 }),
    network: fc.integer({ min: 0, max: 2 }),
  }),
  { maxLength: 30 },
);

function taskOf({ id, node, network }: Edit, version: Version): Task {
  return {
    id: `t${id}` as TaskId,
    version,
    createdAt: NOW,
    updatedAt: NOW,
    serviceId: `s${id % 3}` as ServiceId,
    serviceName: 'web',
    specVersion: 1,
    slot: network === 1 ? 0 : 1,
    nodeId: node === 0 ? undefined : (`n${node}` as NodeId),
    desiredState: network === 2 ? (node === 1 ? 'remove' : 'ready') : 'running',
    status: { state: stateOf(node, network), at: NOW, message: '' },
    networks:
      network === 0 ? [] : [{ networkId: `x${network}` as NetworkId, addresses: [], aliases: [] }],
  };
}

function stateOf(node: number, network: number): TaskState {
  if (node === 0) return 'new';
  return node === 2 && network === 0 ? 'failed' : 'running';
}

/** The change that the edit means to whoever sees `view`; undefined when there is nothing to remove. */
function changeOf(view: View, edit: Edit): Change | undefined {
  const known = view.get('task', `t${edit.id}` as TaskId);
  if (edit.what === 'remove') return known && removeObject('task', known);
  const task = taskOf(edit, known?.version ?? VERSION_NONE);
  return known ? updateObject('task', task) : createObject('task', task);
}

/** Everything a reader can see, without the order of lists and without versions. */
function seen(view: View): unknown {
  const ids = (tasks: Iterable<Task>): readonly string[] =>
    [...tasks].map((task) => `${task.id} ${task.nodeId} ${task.networks[0]?.networkId}`).toSorted();
  return {
    all: ids(view.list('task')),
    count: view.count('task'),
    services: [0, 1, 2].map((n) => ids(view.tasksOfService(`s${n}` as ServiceId))),
    nodes: [1, 2].map((n) => ids(view.tasksOfNode(`n${n}` as NodeId))),
    waiting: ids(view.waitingTasks()),
    shared: [0, 1, 2].map((n) => view.hasSharedSlot(`s${n}` as ServiceId)),
    slots: [0, 1, 2].map((n) => view.countSlots(`s${n}` as ServiceId)),
    ofSlots: [0, 1, 2].map((n) =>
      [1, 2, 'n1', 'n2'].map((slot) => ids(view.tasksOfSlot(`s${n}` as ServiceId, slot as Slot))),
    ),
    networks: [1, 2].map((n) => ids(view.tasksOfNetwork(`x${n}` as NetworkId))),
  };
}

test('a draft shows what the tables show once its changes are applied', () => {
  fc.assert(
    fc.property(edits, edits, (before, after) => {
      const tables = new Tables();
      let index = 0;
      for (const edit of before) {
        const change = changeOf(tables, edit);
        index += 1;
        if (change) tables.apply([change], index as Version, NOW);
      }
      const draft = new DraftTables(tables);
      for (const edit of after) {
        const change = changeOf(draft, edit);
        if (change) expect(draft.add(change)).toBeUndefined();
      }
      const drafted = seen(draft);
      expect(tables.check(draft.changes)).toBeUndefined();
      tables.apply(draft.changes, (index + 1) as Version, NOW);
      expect(drafted).toEqual(seen(tables));
    }),
  );
});

test('a change made against an older version is refused and changes nothing', () => {
  const tables = new Tables();
  const edit: Edit = { what: 'put', id: 1, node: 0, network: 0 };
  tables.apply([createObject('task', taskOf(edit, VERSION_NONE))], 1 as Version, NOW);
  const stale = updateObject('task', taskOf(edit, VERSION_NONE));
  expect(tables.check([stale])).toMatchObject({ reason: 'stale', id: 't1' });
  expect(
    tables.check([removeObject('task', taskOf({ ...edit, id: 2 }, VERSION_NONE))]),
  ).toMatchObject({
    reason: 'missing',
  });
  expect(tables.check([createObject('task', taskOf(edit, VERSION_NONE))])).toMatchObject({
    reason: 'exists',
  });
});

test('of two demotions that each leave one manager only the first is applied', () => {
  const tables = new Tables();
  const node = (id: string): Node => ({
    id: id as NodeId,
    version: VERSION_NONE,
    createdAt: NOW,
    updatedAt: NOW,
    spec: { Role: 'manager', Availability: 'active' },
    status: { state: 'ready', address: '', since: NOW },
    certificateRole: 'manager',
  });
  tables.apply(
    [createObject('node', node('a')), createObject('node', node('b'))],
    1 as Version,
    NOW,
  );
  const known = (id: string): Node => tables.get('node', id as NodeId) ?? node(id);
  const demotion = (id: string): Change =>
    updateObject('node', { ...known(id), spec: { ...known(id).spec, Role: 'worker' } });
  const [first, second] = [demotion('a'), demotion('b')];
  expect(tables.check([first, second])).toEqual({ reason: 'stale', kind: 'node', id: 'a' });
  expect(tables.check([first])).toBeUndefined();
  tables.apply([first], 2 as Version, NOW);
  expect(tables.check([second])).toEqual({ reason: 'stale', kind: 'node', id: 'b' });
  expect(tables.check([removeObject('node', known('b'))])).toMatchObject({ reason: 'stale' });
  // In place of another one it may go.
  const back = updateObject('node', { ...known('a'), spec: node('a').spec });
  expect(tables.check([second, back])).toBeUndefined();
  expect(tables.check([updateObject('node', known('b'))])).toBeUndefined();
});
