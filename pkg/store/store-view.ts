import type {
  Cluster,
  NamedKind,
  NetworkId,
  NodeId,
  ObjectIds,
  ObjectKind,
  ObjectTypes,
  Revision,
  ServiceId,
  Slot,
  Tables,
  Task,
  Version,
  View,
  VolumeId,
} from '../model/index.ts';

/** Always the newest tables, also after a snapshot replaced them: what readers hold on to. */
export class StoreView implements View {
  readonly #current: () => Tables;

  constructor(current: () => Tables) {
    this.#current = current;
  }

  get index(): Version {
    return this.#current().index;
  }

  get cluster(): Cluster | undefined {
    return this.#current().cluster;
  }

  get<K extends ObjectKind>(kind: K, id: ObjectIds[K]): ObjectTypes[K] | undefined {
    return this.#current().get(kind, id);
  }

  list<K extends ObjectKind>(kind: K): Iterable<ObjectTypes[K]> {
    return this.#current().list(kind);
  }

  count(kind: ObjectKind): number {
    return this.#current().count(kind);
  }

  byName<K extends NamedKind>(kind: K, name: string): ObjectTypes[K] | undefined {
    return this.#current().byName(kind, name);
  }

  tasksOfService(id: ServiceId): Iterable<Task> {
    return this.#current().tasksOfService(id);
  }

  tasksOfNode(id: NodeId): Iterable<Task> {
    return this.#current().tasksOfNode(id);
  }

  stampOfNode(id: NodeId): object | undefined {
    return this.#current().stampOfNode(id);
  }

  tasksOfNetwork(id: NetworkId): Iterable<Task> {
    return this.#current().tasksOfNetwork(id);
  }

  tasksOfVolume(id: VolumeId): Iterable<Task> {
    return this.#current().tasksOfVolume(id);
  }

  waitingTasks(): Iterable<Task> {
    return this.#current().waitingTasks();
  }

  hasSharedSlot(id: ServiceId): boolean {
    return this.#current().hasSharedSlot(id);
  }

  tasksOfSlot(id: ServiceId, slot: Slot): Iterable<Task> {
    return this.#current().tasksOfSlot(id, slot);
  }

  countSlots(id: ServiceId): number {
    return this.#current().countSlots(id);
  }

  revision(serviceId: ServiceId, specVersion: number): Revision | undefined {
    return this.#current().revision(serviceId, specVersion);
  }
}
