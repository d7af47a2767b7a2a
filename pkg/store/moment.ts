import {
  type AppliedChange,
  type Cluster,
  haveSharedSlot,
  isWaiting,
  merged,
  type NamedKind,
  type NetworkId,
  type NodeId,
  type ObjectIds,
  type ObjectKind,
  type ObjectTypes,
  type Revision,
  revisionId,
  type ServiceId,
  type Slot,
  slotOf,
  type Task,
  uniqueName,
  type Version,
  type View,
} from '../model/index.ts';
import type { Batch } from './contract.ts';

type AnyObject = ObjectTypes[ObjectKind];
/** An object as it was, or undefined for one that was not there yet. */
type Was = AnyObject | undefined;

/**
 * The view as it was when this was made, until it is disposed of: it costs what changes meanwhile, not what there is. For
 * readers that let other work run while they read. Lists end with what was removed since.
 */
export class Moment implements View, Disposable {
  readonly index: Version;
  readonly #base: View;
  readonly #was = new Map<ObjectKind, Map<string, Was>>();
  readonly #wasOfService = new Map<ServiceId, Map<string, Task | undefined>>();

  readonly #noting: Disposable;

  /** `watch` tells at once of each change of `base`, which a snapshot does not change: it brings new tables. */
  constructor(base: View, watch: (listener: (batch: Batch) => void) => Disposable) {
    this.#base = base;
    this.index = base.index;
    this.#noting = watch(({ changes, reset }) => {
      if (reset) this[Symbol.dispose]();
      else for (const change of changes) this.#note(change);
    });
  }

  [Symbol.dispose](): void {
    this.#noting[Symbol.dispose]();
  }

  get cluster(): Cluster | undefined {
    for (const cluster of this.list('cluster')) return cluster;
    return undefined;
  }

  get<K extends ObjectKind>(kind: K, id: ObjectIds[K]): ObjectTypes[K] | undefined {
    const was = this.#was.get(kind);
    return was?.has(id) ? (was.get(id) as ObjectTypes[K] | undefined) : this.#base.get(kind, id);
  }

  list<K extends ObjectKind>(kind: K): Iterable<ObjectTypes[K]> {
    const was = this.#was.get(kind) as ReadonlyMap<string, ObjectTypes[K] | undefined> | undefined;
    return was ? merged(this.#base.list(kind), was) : this.#base.list(kind);
  }

  count(kind: ObjectKind): number {
    return this.#was.has(kind) ? [...this.list(kind)].length : this.#base.count(kind);
  }

  byName<K extends NamedKind>(kind: K, name: string): ObjectTypes[K] | undefined {
    const was = this.#was.get(kind);
    for (const object of was?.values() ?? [])
      if (object && uniqueName(kind, object as ObjectTypes[K]) === name)
        return object as ObjectTypes[K];
    const found = this.#base.byName(kind, name);
    return found && was?.has(found.id) ? undefined : found;
  }

  tasksOfService(id: ServiceId): Iterable<Task> {
    const base = this.#base.tasksOfService(id);
    const was = this.#wasOfService.get(id);
    return was ? merged(base, was) : base;
  }

  tasksOfNode(id: NodeId): Iterable<Task> {
    return this.#tasks(this.#base.tasksOfNode(id), (task) => task.nodeId === id);
  }

  stampOfNode(id: NodeId): object | undefined {
    return this.#was.has('task') ? undefined : this.#base.stampOfNode(id);
  }

  tasksOfNetwork(id: NetworkId): Iterable<Task> {
    const attached = (task: Task): boolean => task.networks.some((net) => net.networkId === id);
    return this.#tasks(this.#base.tasksOfNetwork(id), attached);
  }

  waitingTasks(): Iterable<Task> {
    return this.#tasks(this.#base.waitingTasks(), isWaiting);
  }

  hasSharedSlot(id: ServiceId): boolean {
    if (!this.#wasOfService.has(id)) return this.#base.hasSharedSlot(id);
    return haveSharedSlot(this.tasksOfService(id));
  }

  tasksOfSlot(id: ServiceId, slot: Slot): Iterable<Task> {
    if (!this.#wasOfService.has(id)) return this.#base.tasksOfSlot(id, slot);
    return [...this.tasksOfService(id)].filter((task) => slotOf(task) === slot);
  }

  countSlots(id: ServiceId): number {
    if (!this.#wasOfService.has(id)) return this.#base.countSlots(id);
    const staying = [...this.tasksOfService(id)].filter(
      ({ desiredState }) => desiredState !== 'remove',
    );
    return new Set(staying.map(slotOf)).size;
  }

  revision(serviceId: ServiceId, specVersion: number): Revision | undefined {
    return this.get('revision', revisionId(serviceId, specVersion));
  }

  #note({ kind, before, after }: AppliedChange): void {
    const id = (before ?? after)?.id;
    const known = this.#was.get(kind) ?? new Map<string, Was>();
    this.#was.set(kind, known);
    if (id === undefined || known.has(id)) return;
    known.set(id, before);
    if (kind === 'task') this.#noteTask(id, before, (before ?? after)?.serviceId);
  }

  #noteTask(id: string, before: Was, serviceId: ServiceId | undefined): void {
    if (serviceId === undefined) return;
    const known = this.#wasOfService.get(serviceId);
    if (known) known.set(id, before as Task | undefined);
    else this.#wasOfService.set(serviceId, new Map([[id, before as Task | undefined]]));
  }

  #tasks(base: Iterable<Task>, belongs: (task: Task) => boolean): Iterable<Task> {
    const was = this.#was.get('task') as ReadonlyMap<string, Task | undefined> | undefined;
    return was ? merged(base, was, belongs) : base;
  }
}
