import {
  type AppliedChange,
  type Dirty,
  isProgress,
  type NetworkId,
  type NodeId,
  type ServiceId,
  type Slot,
  slotOf,
  type TaskId,
  type View,
  type VolumeId,
} from '../model/index.ts';

const IDS_PER_STEP = 500;

/** Collects what changed between two passes of the deciders. */
export class DirtySet implements Dirty {
  readonly services = new Set<ServiceId>();
  readonly slots = new Map<ServiceId, Set<Slot>>();
  readonly tasks = new Set<TaskId>();
  readonly nodes = new Set<NodeId>();
  readonly networks = new Set<NetworkId>();
  readonly volumes = new Set<VolumeId>();
  cluster = false;

  /** Everything there is: what a new leader starts with. */
  static everything(view: View): DirtySet {
    const dirty = new DirtySet();
    for (const _ of dirty.addingEverything(view));
    return dirty;
  }

  /** The same with pauses, to what this has already. Tasks may outlive their service: it counts, though it is gone. */
  *addingEverything(view: View): Iterable<void> {
    for (const { id } of view.list('service')) this.#addService(id);
    for (const { id } of view.list('node')) this.nodes.add(id);
    for (const { id } of view.list('network')) this.networks.add(id);
    for (const { id } of view.list('volume')) this.volumes.add(id);
    this.cluster = true;
    let seen = 0;
    for (const { id, serviceId } of view.list('task')) {
      this.tasks.add(id);
      this.#addService(serviceId);
      if (++seen % IDS_PER_STEP === 0) yield;
    }
  }

  /** Objects that are gone count too. */
  add(changes: readonly AppliedChange[]): void {
    for (const change of changes) this.#addOne(change);
  }

  #addOne(change: AppliedChange): void {
    const object = change.after ?? change.before;
    if (object === undefined) return;
    switch (change.kind) {
      case 'service':
        this.#addService(object.id as ServiceId);
        break;
      case 'node':
        this.nodes.add(object.id as NodeId);
        break;
      case 'network':
        this.networks.add(object.id as NetworkId);
        break;
      case 'volume':
        this.volumes.add(object.id as VolumeId);
        break;
      case 'cluster':
        this.cluster = true;
        break;
      case 'task':
        this.#addTask(change);
        break;
      default:
        break;
    }
  }

  /** A task cannot be asked later what was new about it, or for its service when it is gone. */
  #addTask({ before, after }: Extract<AppliedChange, { kind: 'task' }>): void {
    const task = after ?? before;
    if (task === undefined) return;
    this.tasks.add(task.id);
    for (const { volumeId } of task.volumes ?? []) this.volumes.add(volumeId);
    if (before && after && isProgress(before, after)) return;
    for (const one of [before, after]) if (one) this.#addSlots(one.serviceId, [slotOf(one)]);
  }

  #addService(id: ServiceId): void {
    this.services.add(id);
    this.slots.delete(id);
  }

  /** Nothing more where the whole service counts already. */
  #addSlots(id: ServiceId, more: Iterable<Slot>): void {
    const known = this.slots.get(id);
    if (!known && this.services.has(id)) return;
    this.services.add(id);
    const slots = known ?? new Set<Slot>();
    for (const slot of more) slots.add(slot);
    this.slots.set(id, slots);
  }

  merge(other: Dirty): void {
    for (const id of other.services) {
      const slots = other.slots.get(id);
      if (slots) this.#addSlots(id, slots);
      else this.#addService(id);
    }
    for (const id of other.tasks) this.tasks.add(id);
    for (const id of other.nodes) this.nodes.add(id);
    for (const id of other.networks) this.networks.add(id);
    for (const id of other.volumes) this.volumes.add(id);
    if (other.cluster) this.cluster = true;
  }
}
