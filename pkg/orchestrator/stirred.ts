import {
  type Dirty,
  type NodeId,
  type Service,
  type ServiceId,
  type Slot,
  serviceMode,
  slotOf,
  type Task,
  type View,
} from '../model/index.ts';

/** Which services have to be looked at, and of those where only tasks or nodes changed, which slots. */
export class Stirred {
  readonly #slots = new Map<ServiceId, Set<Slot> | 'all'>();

  constructor(dirty: Dirty) {
    for (const id of dirty.services) {
      const slots = dirty.slots.get(id);
      this.#slots.set(id, slots ? new Set(slots) : 'all');
    }
  }

  /** Services, also such as are gone. */
  get ids(): Iterable<ServiceId> {
    return this.#slots.keys();
  }

  has(id: ServiceId): boolean {
    return this.#slots.has(id);
  }

  /** Every slot of it. */
  isWhole(id: ServiceId): boolean {
    return this.#slots.get(id) === 'all';
  }

  addWhole(id: ServiceId): void {
    this.#slots.set(id, 'all');
  }

  addSlotOf(task: Task): void {
    this.#add(task.serviceId, slotOf(task));
  }

  /** The slot that a global service has, or should have, on the node. */
  addSlotOn(id: ServiceId, node: NodeId): void {
    this.#add(id, node);
  }

  #add(id: ServiceId, slot: Slot): void {
    const slots = this.#slots.get(id) ?? new Set();
    if (slots === 'all') return;
    this.#slots.set(id, slots.add(slot));
  }

  /**
   * The slots that are to be looked at, where they say all: jobs count their tasks. Undefined: every slot of the service.
   */
  partOf(service: Service): ReadonlySet<Slot> | undefined {
    const slots = this.#slots.get(service.id);
    const { kind } = serviceMode(service.spec);
    if (slots === undefined || slots === 'all') return undefined;
    if (kind !== 'replicated' && kind !== 'global') return undefined;
    return slots;
  }
}

export function* tasksOfSlots(view: View, id: ServiceId, slots: Iterable<Slot>): Iterable<Task> {
  for (const slot of slots) yield* view.tasksOfSlot(id, slot);
}
