import type { NodeId, ServiceId } from './id.ts';
import type { Task } from './task.ts';

/** The number of a slot, or the node of one of a global service. */
export type Slot = NodeId | number;

/** Tasks of global services are told apart by their nodes. */
export function slotOf({ slot, nodeId }: Task): Slot {
  return slot === 0 ? (nodeId ?? 0) : slot;
}

/** Whether any of a slot's tasks is not on its way out. */
export function isFilled(tasks: Iterable<Task>): boolean {
  for (const task of tasks) if (task.desiredState !== 'remove') return true;
  return false;
}

/** The tasks of each slot, kept up to date with each change of a task. */
export class SlotTasks {
  readonly #slots = new Map<ServiceId, Map<Slot, readonly Task[]>>();
  /** How many slots are filled. */
  readonly #filled = new Map<ServiceId, number>();

  of(id: ServiceId, slot: Slot): readonly Task[] {
    return this.#slots.get(id)?.get(slot) ?? [];
  }

  count(id: ServiceId): number {
    return this.#filled.get(id) ?? 0;
  }

  note(before: Task | undefined, after: Task | undefined): void {
    if (before) {
      if (after && slotOf(after) === slotOf(before)) {
        this.#set(before, (tasks) =>
          tasks.length === 1 ? [after] : tasks.map((task) => (task.id === after.id ? after : task)),
        );
        return;
      }
      this.#set(before, (tasks) => tasks.filter(({ id }) => id !== before.id));
    }
    if (after) this.#set(after, (tasks) => [...tasks, after]);
  }

  #set(one: Task, change: (tasks: readonly Task[]) => readonly Task[]): void {
    const { serviceId } = one;
    const slots = this.#slots.get(serviceId) ?? new Map<Slot, readonly Task[]>();
    this.#slots.set(serviceId, slots);
    const slot = slotOf(one);
    const before = slots.get(slot) ?? [];
    const after = change(before);
    if (after.length === 0) slots.delete(slot);
    else slots.set(slot, after);
    const filled = this.count(serviceId) + Number(isFilled(after)) - Number(isFilled(before));
    if (slots.size > 0) this.#filled.set(serviceId, filled);
    else {
      this.#slots.delete(serviceId);
      this.#filled.delete(serviceId);
    }
  }
}
