import type { Cluster } from './cluster.ts';
import type { NetworkId, NodeId, ServiceId, Version, VolumeId } from './id.ts';
import type { NamedKind, ObjectIds, ObjectKind, ObjectTypes } from './object.ts';
import type { Revision } from './service.ts';
import type { Slot } from './slot-tasks.ts';
import type { Task } from './task.ts';

/**
 * What a decider or a reader sees of the replicated state. Objects are frozen and shared. A view is only promised to
 * stand still until the reader's next `await`; whoever needs more keeps the objects, not the view.
 * Lists come in order of insertion (the same on every manager).
 */
export interface View {
  /** Index of the last applied log entry. */
  readonly index: Version;
  readonly cluster: Cluster | undefined;
  get<K extends ObjectKind>(kind: K, id: ObjectIds[K]): ObjectTypes[K] | undefined;
  list<K extends ObjectKind>(kind: K): Iterable<ObjectTypes[K]>;
  count(kind: ObjectKind): number;
  byName<K extends NamedKind>(kind: K, name: string): ObjectTypes[K] | undefined;
  tasksOfService(id: ServiceId): Iterable<Task>;
  tasksOfNode(id: NodeId): Iterable<Task>;
  /**
   * The same object for as long as no task of the node changes, so that what was added up over them can be kept;
   * undefined where that is not known.
   */
  stampOfNode(id: NodeId): object | undefined;
  /** Tasks with an attachment to the network, whatever their state. */
  tasksOfNetwork(id: NetworkId): Iterable<Task>;
  /** Tasks with a mount of the volume, whatever their state. */
  tasksOfVolume(id: VolumeId): Iterable<Task>;
  /** Tasks that wait for the leader (`isWaiting`): the few that every pass looks at. */
  waitingTasks(): Iterable<Task>;
  /** Whether a slot of the service has two tasks that are wanted alive. */
  hasSharedSlot(id: ServiceId): boolean;
  /** All tasks of one slot. */
  tasksOfSlot(id: ServiceId, slot: Slot): Iterable<Task>;
  /** Slots of the service with a task that is not on its way out. */
  countSlots(id: ServiceId): number;
  revision(serviceId: ServiceId, specVersion: number): Revision | undefined;
}
