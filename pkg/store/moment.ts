import {
  type AppliedChange,
  type NodeId,
  type ObjectKind,
  OverlaidView,
  type ServiceId,
  type Slot,
  slotOf,
  type Task,
  type Version,
  type View,
} from '../model/index.ts';
import type { Batch } from './contract.ts';

/**
 * The view as it was when this was made, until it is disposed of: it costs what changes meanwhile, not what there is. For
 * readers that let other work run while they read. Lists end with what was removed since.
 */
export class Moment extends OverlaidView implements Disposable {
  readonly index: Version;
  readonly #noting: Disposable;

  /** `watch` tells at once of each change of `base`, which a snapshot does not change: it brings new tables. */
  constructor(base: View, watch: (listener: (batch: Batch) => void) => Disposable) {
    super(base);
    this.index = base.index;
    this.#noting = watch(({ changes, reset }) => {
      if (reset) this[Symbol.dispose]();
      else for (const change of changes) this.#note(change);
    });
  }

  [Symbol.dispose](): void {
    this.#noting[Symbol.dispose]();
  }

  count(kind: ObjectKind): number {
    return this.exchanged(kind) ? [...this.list(kind)].length : this.base.count(kind);
  }

  tasksOfNode(id: NodeId): Iterable<Task> {
    return this.mergedTasks(this.base.tasksOfNode(id), (task) => task.nodeId === id);
  }

  stampOfNode(id: NodeId): object | undefined {
    return this.exchanged('task') ? undefined : this.base.stampOfNode(id);
  }

  tasksOfSlot(id: ServiceId, slot: Slot): Iterable<Task> {
    if (!this.exchangedTasks(id)) return this.base.tasksOfSlot(id, slot);
    return [...this.tasksOfService(id)].filter((task) => slotOf(task) === slot);
  }

  countSlots(id: ServiceId): number {
    if (!this.exchangedTasks(id)) return this.base.countSlots(id);
    const staying = [...this.tasksOfService(id)].filter(
      ({ desiredState }) => desiredState !== 'remove',
    );
    return new Set(staying.map(slotOf)).size;
  }

  #note({ kind, before, after }: AppliedChange): void {
    const object = before ?? after;
    if (!object || this.exchanged(kind)?.has(object.id)) return;
    this.exchange(kind, object.id, before);
    if (kind !== 'task') return;
    const { id, serviceId } = object as Task;
    if (serviceId !== undefined) this.exchangeTask(serviceId, id, before as Task | undefined);
  }
}
