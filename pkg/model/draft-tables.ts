import type { Change } from './change.ts';
import type { Cluster } from './cluster.ts';
import type { NetworkId, NodeId, ServiceId, TaskId, Version } from './id.ts';
import { revisionId } from './id.ts';
import { must } from './invariant.ts';
import { merged } from './merged.ts';
import {
  type NamedKind,
  type ObjectIds,
  type ObjectKind,
  type ObjectTypes,
  uniqueName,
} from './object.ts';
import type { Revision } from './service.ts';
import { haveSharedSlot } from './shared-slots.ts';
import { isFilled, type Slot, slotOf } from './slot-tasks.ts';
import { isWaiting, type Task } from './task.ts';
import type { View } from './view.ts';

type AnyObject = ObjectTypes[ObjectKind];

/** Why a transaction was refused when it was applied; nothing of it happened. */
export type Refusal =
  | {
      readonly reason: 'exists';
      readonly kind: ObjectKind;
      readonly name: string;
      readonly id: string;
    }
  | { readonly reason: 'missing'; readonly kind: ObjectKind; readonly id: string }
  | { readonly reason: 'stale'; readonly kind: ObjectKind; readonly id: string };

/**
 * A view with undecided changes on top of another view: what the store will look like once they are applied. Deciders
 * of one pass run over the same draft; a transaction collects into one.
 */
export class DraftTables implements View {
  readonly #base: View;
  readonly #changes: Change[] = [];
  readonly #edits = new Map<ObjectKind, Map<string, AnyObject | undefined>>();
  /** The edited tasks of each service; a task never changes its service. */
  readonly #editsOfService = new Map<ServiceId, Map<string, Task | undefined>>();
  /** The same by slot, put together when somebody asks: most drafts are never asked. */
  readonly #editsOfSlot = new Map<ServiceId, Map<Slot, Map<string, Task | undefined>>>();
  /** The edited tasks of each node; undefined: removed, or on another node now. */
  readonly #editsOfNode = new Map<NodeId, Map<string, Task | undefined>>();

  constructor(base: View) {
    this.#base = base;
  }

  /** Everything added so far, in order. */
  get changes(): readonly Change[] {
    return this.#changes;
  }

  get index(): Version {
    return this.#base.index;
  }

  get cluster(): Cluster | undefined {
    for (const cluster of this.list('cluster')) return cluster;
    return undefined;
  }

  /** Take in one change, or say why it does not fit; a refused change leaves the draft as it was. */
  add(change: Change): Refusal | undefined {
    const refusal = this.#refuse(change);
    if (refusal) return refusal;
    this.#changes.push(change);
    if (change.kind === 'task') this.#noteTask(change);
    const edits = this.#edits.get(change.kind) ?? new Map<string, AnyObject | undefined>();
    this.#edits.set(change.kind, edits);
    if (change.action === 'remove') edits.set(change.id, undefined);
    else edits.set(change.object.id, change.object);
    return undefined;
  }

  #noteTask(change: Extract<Change, { kind: 'task' }>): void {
    const after = change.action === 'remove' ? undefined : change.object;
    const id = change.action === 'remove' ? change.id : change.object.id;
    const before = this.get('task', id);
    const { serviceId } = must(after ?? before, 'the task to remove');
    noteEdit(this.#editsOfService, serviceId, id, after);
    this.#editsOfSlot.delete(serviceId);
    const left = before?.nodeId;
    if (left !== undefined) noteEdit(this.#editsOfNode, left, id, undefined);
    if (after?.nodeId !== undefined) noteEdit(this.#editsOfNode, after.nodeId, id, after);
  }

  get<K extends ObjectKind>(kind: K, id: ObjectIds[K]): ObjectTypes[K] | undefined {
    const edits = this.#edits.get(kind);
    if (edits?.has(id)) return edits.get(id) as ObjectTypes[K] | undefined;
    return this.#base.get(kind, id);
  }

  *list<K extends ObjectKind>(kind: K): Iterable<ObjectTypes[K]> {
    const edits = this.#edits.get(kind);
    if (!edits) {
      yield* this.#base.list(kind);
      return;
    }
    yield* merged(this.#base.list(kind), edits as ReadonlyMap<string, ObjectTypes[K] | undefined>);
  }

  count(kind: ObjectKind): number {
    let total = this.#base.count(kind);
    for (const [id, object] of this.#edits.get(kind) ?? []) {
      const was = this.#base.get(kind, id as ObjectIds[typeof kind]) !== undefined;
      if (was && object === undefined) total -= 1;
      if (!was && object !== undefined) total += 1;
    }
    return total;
  }

  byName<K extends NamedKind>(kind: K, name: string): ObjectTypes[K] | undefined {
    for (const object of this.#edits.get(kind)?.values() ?? []) {
      if (object && uniqueName(kind, object as ObjectTypes[K]) === name)
        return object as ObjectTypes[K];
    }
    const found = this.#base.byName(kind, name);
    if (!found || this.#edits.get(kind)?.has(found.id)) return undefined;
    return found;
  }

  tasksOfService(id: ServiceId): Iterable<Task> {
    const base = this.#base.tasksOfService(id);
    const edits = this.#editsOfService.get(id);
    return edits ? merged(base, edits) : base;
  }

  tasksOfNode(id: NodeId): Iterable<Task> {
    const base = this.#base.tasksOfNode(id);
    const edits = this.#editsOfNode.get(id);
    return edits ? merged(base, edits) : base;
  }

  stampOfNode(id: NodeId): object | undefined {
    return this.#editsOfNode.has(id) ? undefined : this.#base.stampOfNode(id);
  }

  tasksOfNetwork(id: NetworkId): Iterable<Task> {
    const attached = (task: Task): boolean => task.networks.some((net) => net.networkId === id);
    return this.#tasks(this.#base.tasksOfNetwork(id), attached);
  }

  waitingTasks(): Iterable<Task> {
    return this.#tasks(this.#base.waitingTasks(), isWaiting);
  }

  hasSharedSlot(id: ServiceId): boolean {
    if (!this.#editsOfService.has(id)) return this.#base.hasSharedSlot(id);
    return haveSharedSlot(this.tasksOfService(id));
  }

  tasksOfSlot(id: ServiceId, slot: Slot): Iterable<Task> {
    const base = this.#base.tasksOfSlot(id, slot);
    const edits = this.#slotEdits(id).get(slot);
    return edits ? merged(base, edits) : base;
  }

  countSlots(id: ServiceId): number {
    let count = this.#base.countSlots(id);
    for (const slot of this.#slotEdits(id).keys()) {
      count -= Number(isFilled(this.#base.tasksOfSlot(id, slot)));
      count += Number(isFilled(this.tasksOfSlot(id, slot)));
    }
    return count;
  }

  #slotEdits(id: ServiceId): ReadonlyMap<Slot, ReadonlyMap<string, Task | undefined>> {
    const known = this.#editsOfSlot.get(id);
    if (known) return known;
    const slots = new Map<Slot, Map<string, Task | undefined>>();
    for (const [taskId, after] of this.#editsOfService.get(id) ?? []) {
      const before = this.#base.get('task', taskId as TaskId);
      if (before) noteEdit(slots, slotOf(before), taskId, undefined);
      if (after) noteEdit(slots, slotOf(after), taskId, after);
    }
    this.#editsOfSlot.set(id, slots);
    return slots;
  }

  revision(serviceId: ServiceId, specVersion: number): Revision | undefined {
    return this.get('revision', revisionId(serviceId, specVersion));
  }

  #tasks(base: Iterable<Task>, belongs: (task: Task) => boolean): Iterable<Task> {
    const edits = this.#edits.get('task') as ReadonlyMap<string, Task | undefined> | undefined;
    return edits ? merged(base, edits, belongs) : base;
  }

  #refuse(change: Change): Refusal | undefined {
    const { kind } = change;
    const id = change.action === 'remove' ? change.id : change.object.id;
    const current = this.get(kind, id as ObjectIds[typeof kind]);
    if (change.action === 'create') {
      if (current) return { reason: 'exists', kind, name: id, id };
      return this.#nameTaken(change);
    }
    if (!current) return { reason: 'missing', kind, id };
    if (current.version !== change.seen) return { reason: 'stale', kind, id };
    return change.action === 'update' ? this.#nameTaken(change) : undefined;
  }

  #nameTaken(change: Exclude<Change, { action: 'remove' }>): Refusal | undefined {
    const { kind, object } = change;
    const name = uniqueName(kind, object);
    if (name === undefined) return undefined;
    const holder = this.byName(kind as NamedKind, name);
    if (!holder || holder.id === object.id) return undefined;
    return { reason: 'exists', kind, name, id: holder.id };
  }
}

function noteEdit<Key>(
  edits: Map<Key, Map<string, Task | undefined>>,
  key: Key,
  id: string,
  task: Task | undefined,
): void {
  const known = edits.get(key);
  if (known) known.set(id, task);
  else edits.set(key, new Map([[id, task]]));
}
