import type {
  AppliedChange,
  Dirty,
  NetworkId,
  NodeId,
  ServiceId,
  Task,
  TaskId,
  View,
} from '../model/index.ts';

/** Collects what changed between two passes of the deciders. */
export class DirtySet implements Dirty {
  readonly services = new Set<ServiceId>();
  readonly tasks = new Set<TaskId>();
  readonly nodes = new Set<NodeId>();
  readonly networks = new Set<NetworkId>();
  cluster = false;

  /** Everything there is: what a new leader starts with. */
  static everything(view: View): DirtySet {
    const dirty = new DirtySet();
    for (const { id } of view.list('service')) dirty.services.add(id);
    for (const { id } of view.list('task')) dirty.tasks.add(id);
    for (const { id } of view.list('node')) dirty.nodes.add(id);
    for (const { id } of view.list('network')) dirty.networks.add(id);
    dirty.cluster = true;
    return dirty;
  }

  /** Objects that are gone count too; a changed task makes its service dirty, which it cannot be asked for later. */
  add(changes: readonly AppliedChange[]): void {
    for (const { kind, before, after } of changes) {
      const object = after ?? before;
      if (object === undefined) continue;
      if (kind === 'service') this.services.add(object.id as ServiceId);
      else if (kind === 'node') this.nodes.add(object.id as NodeId);
      else if (kind === 'network') this.networks.add(object.id as NetworkId);
      else if (kind === 'cluster') this.cluster = true;
      else if (kind === 'task') {
        this.tasks.add(object.id as TaskId);
        this.services.add((object as Task).serviceId);
      }
    }
  }

  merge(other: Dirty): void {
    for (const id of other.services) this.services.add(id);
    for (const id of other.tasks) this.tasks.add(id);
    for (const id of other.nodes) this.nodes.add(id);
    for (const id of other.networks) this.networks.add(id);
    if (other.cluster) this.cluster = true;
  }
}
