import type { ServiceId } from './id.ts';
import { type Slot, slotOf } from './slot-tasks.ts';
import { isRunnable, type Task } from './task.ts';

/** Whether two of the tasks are wanted alive in one slot. */
export function haveSharedSlot(tasks: Iterable<Task>): boolean {
  const slots = new Set<Slot>();
  for (const task of tasks) {
    if (!isRunnable(task)) continue;
    if (slots.has(slotOf(task))) return true;
    slots.add(slotOf(task));
  }
  return false;
}

/** Services with such a slot, kept up to date with each change of a task. */
export class SharedSlots {
  /** How many are alive, by slot. */
  readonly #alive = new Map<ServiceId, Map<Slot, number>>();
  /** Slots with more than one. */
  readonly #shared = new Map<ServiceId, Set<Slot>>();

  has(id: ServiceId): boolean {
    return this.#shared.has(id);
  }

  note(before: Task | undefined, after: Task | undefined): void {
    const was = before && isRunnable(before) ? before : undefined;
    const is = after && isRunnable(after) ? after : undefined;
    if (was && is && slotOf(was) === slotOf(is)) return;
    if (was) this.#count(was, -1);
    if (is) this.#count(is, 1);
  }

  #count(task: Task, change: number): void {
    const { serviceId } = task;
    const slot = slotOf(task);
    const slots = this.#alive.get(serviceId) ?? new Map<Slot, number>();
    this.#alive.set(serviceId, slots);
    const count = (slots.get(slot) ?? 0) + change;
    if (count === 0) slots.delete(slot);
    else slots.set(slot, count);
    if (slots.size === 0) this.#alive.delete(serviceId);
    const shared = this.#shared.get(serviceId);
    if (count > 1) this.#shared.set(serviceId, (shared ?? new Set<Slot>()).add(slot));
    else if (shared?.delete(slot) && shared.size === 0) this.#shared.delete(serviceId);
  }
}
