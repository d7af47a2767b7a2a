import type { Cluster } from './cluster.ts';
import type { NetworkId, NodeId, ServiceId, Version, VolumeId } from './id.ts';
import { revisionId } from './id.ts';
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
import type { Slot } from './slot-tasks.ts';
import { isWaiting, type Task } from './task.ts';
import type { View } from './view.ts';

/** An object in place of the one below, or undefined: there is none. */
export type Exchanged = ObjectTypes[ObjectKind] | undefined;

/** A view of which some objects are exchanged for others: what both of its kinds answer alike. */
export abstract class OverlaidView implements View {
  protected readonly base: View;
  readonly #exchanged = new Map<ObjectKind, Map<string, Exchanged>>();
  /** A task never changes its service. */
  readonly #ofService = new Map<ServiceId, Map<string, Task | undefined>>();

  constructor(base: View) {
    this.base = base;
  }

  abstract get index(): Version;
  abstract count(kind: ObjectKind): number;
  abstract tasksOfNode(id: NodeId): Iterable<Task>;
  abstract stampOfNode(id: NodeId): object | undefined;
  abstract tasksOfSlot(id: ServiceId, slot: Slot): Iterable<Task>;
  abstract countSlots(id: ServiceId): number;

  get cluster(): Cluster | undefined {
    for (const cluster of this.list('cluster')) return cluster;
    return undefined;
  }

  get<K extends ObjectKind>(kind: K, id: ObjectIds[K]): ObjectTypes[K] | undefined {
    const exchanged = this.#exchanged.get(kind);
    if (exchanged?.has(id)) return exchanged.get(id) as ObjectTypes[K] | undefined;
    return this.base.get(kind, id);
  }

  list<K extends ObjectKind>(kind: K): Iterable<ObjectTypes[K]> {
    const exchanged = this.exchanged(kind);
    return exchanged ? merged(this.base.list(kind), exchanged) : this.base.list(kind);
  }

  byName<K extends NamedKind>(kind: K, name: string): ObjectTypes[K] | undefined {
    const exchanged = this.exchanged(kind);
    for (const object of exchanged?.values() ?? []) {
      if (object && uniqueName(kind, object) === name) return object;
    }
    const found = this.base.byName(kind, name);
    return found && exchanged?.has(found.id) ? undefined : found;
  }

  tasksOfService(id: ServiceId): Iterable<Task> {
    const exchanged = this.#ofService.get(id);
    const base = this.base.tasksOfService(id);
    return exchanged ? merged(base, exchanged) : base;
  }

  tasksOfNetwork(id: NetworkId): Iterable<Task> {
    const attached = (task: Task): boolean => task.networks.some((net) => net.networkId === id);
    return this.mergedTasks(this.base.tasksOfNetwork(id), attached);
  }

  tasksOfVolume(id: VolumeId): Iterable<Task> {
    const mounts = ({ volumes }: Task): boolean =>
      volumes?.some(({ volumeId }) => volumeId === id) ?? false;
    return this.mergedTasks(this.base.tasksOfVolume(id), mounts);
  }

  waitingTasks(): Iterable<Task> {
    return this.mergedTasks(this.base.waitingTasks(), isWaiting);
  }

  hasSharedSlot(id: ServiceId): boolean {
    if (!this.#ofService.has(id)) return this.base.hasSharedSlot(id);
    return haveSharedSlot(this.tasksOfService(id));
  }

  revision(serviceId: ServiceId, specVersion: number): Revision | undefined {
    return this.get('revision', revisionId(serviceId, specVersion));
  }

  protected exchange(kind: ObjectKind, id: string, object: Exchanged): void {
    putIn(this.#exchanged, kind, id, object);
  }

  /** Beside `exchange`. */
  protected exchangeTask(serviceId: ServiceId, id: string, task: Task | undefined): void {
    putIn(this.#ofService, serviceId, id, task);
  }

  protected exchanged<K extends ObjectKind>(
    kind: K,
  ): ReadonlyMap<string, ObjectTypes[K] | undefined> | undefined {
    return this.#exchanged.get(kind) as ReadonlyMap<string, ObjectTypes[K] | undefined> | undefined;
  }

  protected exchangedTasks(id: ServiceId): ReadonlyMap<string, Task | undefined> | undefined {
    return this.#ofService.get(id);
  }

  protected mergedTasks(base: Iterable<Task>, belongs: (task: Task) => boolean): Iterable<Task> {
    const exchanged = this.exchanged('task');
    return exchanged ? merged(base, exchanged, belongs) : base;
  }
}

/** Into the map of that key. */
export function putIn<Key, Value>(
  maps: Map<Key, Map<string, Value>>,
  key: Key,
  id: string,
  value: Value,
): void {
  const known = maps.get(key);
  if (known) known.set(id, value);
  else maps.set(key, new Map([[id, value]]));
}
