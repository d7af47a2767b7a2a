import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type AppliedChange,
  type Change,
  type ConfigId,
  createObject,
  type InstantMs,
  type NetworkId,
  type NodeId,
  OBJECT_KINDS,
  removeObject,
  type ServiceId,
  type Slot,
  Tables,
  type Task,
  type TaskId,
  updateObject,
  VERSION_NONE,
  type Version,
  type View,
} from '../model/index.ts';
import type { Batch } from './contract.ts';
import { Moment } from './moment.ts';
import { config } from './testing/cluster.ts';

interface Edit {
  readonly kind: 'task' | 'config';
  readonly remove: boolean;
  readonly id: number;
  readonly node: number;
  readonly network: number;
}

const edits = fc.array(
  fc.record({
    kind: fc.constantFrom('task' as const, 'task' as const, 'config' as const),
    remove: fc.constantFrom(false, false, true),
    id: fc.integer({ min: 0, max: 9 }),
    node: fc.integer({ min: 0, max: 2 }),
    network: fc.integer({ min: 0, max: 2 }),
  }),
  { maxLength: 30 },
);

function task({ id, node, network }: Edit, version: Version): Task {
  return {
    id: `t${id}` as TaskId,
    version,
    createdAt: 1 as InstantMs,
    updatedAt: 1 as InstantMs,
    serviceId: `s${id % 3}` as ServiceId,
    serviceName: 'web',
    specVersion: 1,
    slot: network === 1 ? 0 : 1,
    nodeId: node === 0 ? undefined : (`n${node}` as NodeId),
    desiredState: network === 2 ? (node === 1 ? 'remove' : 'ready') : 'running',
    status: { state: node === 0 ? 'new' : 'running', at: 1 as InstantMs, message: '' },
    networks:
      network === 0 ? [] : [{ networkId: `x${network}` as NetworkId, addresses: [], aliases: [] }],
  };
}

/** Configs change their name with what would be the node of a task. */
function changeOf(view: View, edit: Edit): Change | undefined {
  if (edit.kind === 'task') {
    const known = view.get('task', `t${edit.id}` as TaskId);
    if (edit.remove) return known && removeObject('task', known);
    const next = task(edit, known?.version ?? VERSION_NONE);
    return known ? updateObject('task', next) : createObject('task', next);
  }
  const known = view.get('config', `c${edit.id}` as ConfigId);
  if (edit.remove) return known && removeObject('config', known);
  const version = known?.version ?? VERSION_NONE;
  const next = { ...config(`name${edit.id}-${edit.node}`), id: `c${edit.id}` as ConfigId, version };
  return known ? updateObject('config', next) : createObject('config', next);
}

/** Everything a reader can see, without the order of lists. */
function seen(view: View): unknown {
  const tasks = (list: Iterable<Task>): readonly string[] =>
    [...list].map((each) => JSON.stringify(each)).toSorted();
  const numbers = [0, 1, 2];
  return {
    index: view.index,
    cluster: view.cluster,
    counts: OBJECT_KINDS.map((kind) => view.count(kind)),
    tasks: tasks(view.list('task')),
    each: Array.from({ length: 10 }, (_, n) => view.get('task', `t${n}` as TaskId)),
    services: numbers.map((n) => tasks(view.tasksOfService(`s${n}` as ServiceId))),
    nodes: numbers.map((n) => tasks(view.tasksOfNode(`n${n}` as NodeId))),
    networks: numbers.map((n) => tasks(view.tasksOfNetwork(`x${n}` as NetworkId))),
    waiting: tasks(view.waitingTasks()),
    shared: numbers.map((n) => view.hasSharedSlot(`s${n}` as ServiceId)),
    slots: numbers.map((n) => view.countSlots(`s${n}` as ServiceId)),
    ofSlots: numbers.map((n) =>
      [1, 2, 'n1', 'n2'].map((slot) => tasks(view.tasksOfSlot(`s${n}` as ServiceId, slot as Slot))),
    ),
    configs: [...view.list('config')].map(({ id }) => id).toSorted(),
    named: Array.from({ length: 30 }, (_, n) =>
      view.byName('config', `name${Math.floor(n / 3)}-${n % 3}`),
    ),
  };
}

/** Tables that tell of their changes. */
class Told {
  readonly tables = new Tables();
  readonly listeners = new Set<(batch: Batch) => void>();
  #index = 0;

  readonly watch = (listener: (batch: Batch) => void): Disposable => {
    this.listeners.add(listener);
    return { [Symbol.dispose]: (): void => void this.listeners.delete(listener) };
  };

  apply(edit: Edit): void {
    const change = changeOf(this.tables, edit);
    if (!change) return;
    this.#index += 1;
    const [index, now] = [this.#index as Version, 1 as InstantMs];
    this.tell(this.tables.apply([change], index, now));
  }

  tell(changes: readonly AppliedChange[], reset = false): void {
    const batch = { index: this.tables.index, now: 1 as InstantMs, changes, reset };
    for (const listener of [...this.listeners]) listener(batch);
  }
}

test('a moment shows what there was, whatever changes later', () => {
  fc.assert(
    fc.property(edits, edits, (before, after) => {
      const told = new Told();
      for (const edit of before) told.apply(edit);
      const then = seen(told.tables);
      using moment = new Moment(told.tables, told.watch);
      for (const edit of after) {
        told.apply(edit);
        expect(seen(moment)).toEqual(then);
      }
    }),
  );
});

test('it listens until it is disposed of, or a snapshot has replaced the tables', () => {
  const told = new Told();
  {
    using _moment = new Moment(told.tables, told.watch);
    expect(told.listeners.size).toBe(1);
  }
  expect(told.listeners.size).toBe(0);
  using _other = new Moment(told.tables, told.watch);
  told.tell([], true);
  expect(told.listeners.size).toBe(0);
});
