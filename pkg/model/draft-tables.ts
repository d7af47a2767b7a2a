import type { Change } from './change.ts';
import type { NodeId, ServiceId, TaskId, Version } from './id.ts';
import { must } from './invariant.ts';
import { merged } from './merged.ts';
import { type NamedKind, type ObjectIds, type ObjectKind, uniqueName } from './object.ts';
import { OverlaidView, putIn } from './overlaid-view.ts';
import { isFilled, type Slot, slotOf } from './slot-tasks.ts';
import type { Task } from './task.ts';

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
export class DraftTables extends OverlaidView {
  readonly #changes: Change[] = [];
  /** The edited tasks of each service by slot, put together when somebody asks: most drafts are never asked. */
  readonly #editsOfSlot = new Map<ServiceId, Map<Slot, Map<string, Task | undefined>>>();
  /** The edited tasks of each node; undefined: removed, or on another node now. */
  readonly #editsOfNode = new Map<NodeId, Map<string, Task | undefined>>();

  /** Everything added so far, in order. */
  get changes(): readonly Change[] {
    return this.#changes;
  }

  get index(): Version {
    return this.base.index;
  }

  /** Take in one change, or say why it does not fit; a refused change leaves the draft as it was. */
  add(change: Change): Refusal | undefined {
    const refusal = this.#refuse(change);
    if (refusal) return refusal;
    this.#changes.push(change);
    if (change.kind === 'task') this.#noteTask(change);
    if (change.action === 'remove') this.exchange(change.kind, change.id, undefined);
    else this.exchange(change.kind, change.object.id, change.object);
    return undefined;
  }

  #noteTask(change: Extract<Change, { kind: 'task' }>): void {
    const after = change.action === 'remove' ? undefined : change.object;
    const id = change.action === 'remove' ? change.id : change.object.id;
    const before = this.get('task', id);
    const { serviceId } = must(after ?? before, 'the task to remove');
    this.exchangeTask(serviceId, id, after);
    this.#editsOfSlot.delete(serviceId);
    const left = before?.nodeId;
    if (left !== undefined) putIn(this.#editsOfNode, left, id, undefined);
    if (after?.nodeId !== undefined) putIn(this.#editsOfNode, after.nodeId, id, after);
  }

  count(kind: ObjectKind): number {
    let total = this.base.count(kind);
    for (const [id, object] of this.exchanged(kind) ?? []) {
      const was = this.base.get(kind, id as ObjectIds[typeof kind]) !== undefined;
      if (was && object === undefined) total -= 1;
      if (!was && object !== undefined) total += 1;
    }
    return total;
  }

  tasksOfNode(id: NodeId): Iterable<Task> {
    const base = this.base.tasksOfNode(id);
    const edits = this.#editsOfNode.get(id);
    return edits ? merged(base, edits) : base;
  }

  stampOfNode(id: NodeId): object | undefined {
    return this.#editsOfNode.has(id) ? undefined : this.base.stampOfNode(id);
  }

  tasksOfSlot(id: ServiceId, slot: Slot): Iterable<Task> {
    const base = this.base.tasksOfSlot(id, slot);
    const edits = this.#slotEdits(id).get(slot);
    return edits ? merged(base, edits) : base;
  }

  countSlots(id: ServiceId): number {
    let count = this.base.countSlots(id);
    for (const slot of this.#slotEdits(id).keys()) {
      count -= Number(isFilled(this.base.tasksOfSlot(id, slot)));
      count += Number(isFilled(this.tasksOfSlot(id, slot)));
    }
    return count;
  }

  #slotEdits(id: ServiceId): ReadonlyMap<Slot, ReadonlyMap<string, Task | undefined>> {
    const known = this.#editsOfSlot.get(id);
    if (known) return known;
    const slots = new Map<Slot, Map<string, Task | undefined>>();
    for (const [taskId, after] of this.exchangedTasks(id) ?? []) {
      const before = this.base.get('task', taskId as TaskId);
      if (before) putIn(slots, slotOf(before), taskId, undefined);
      if (after) putIn(slots, slotOf(after), taskId, after);
    }
    this.#editsOfSlot.set(id, slots);
    return slots;
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
