import type { Change } from './change.ts';
import type { Cluster } from './cluster.ts';
import { DraftTables, type Refusal } from './draft-tables.ts';
import type { InstantMs, NetworkId, NodeId, ServiceId, Version, VolumeId } from './id.ts';
import { revisionId, VERSION_NONE } from './id.ts';
import { must } from './invariant.ts';
import type { Node } from './node.ts';
import {
  type NamedKind,
  OBJECT_KINDS,
  type ObjectIds,
  type ObjectKind,
  type ObjectTypes,
  uniqueName,
} from './object.ts';
import type { Revision } from './service.ts';
import { SharedSlots } from './shared-slots.ts';
import { type Slot, SlotTasks } from './slot-tasks.ts';
import { isWaiting, type Task } from './task.ts';
import type { View } from './view.ts';

type AnyObject = ObjectTypes[ObjectKind];
type Index = Map<string, Map<string, Task>>;

/**
 * The replicated objects in memory, with their indexes. Deterministic: the same changes in the same order give the
 * same content and iteration order. `check` then `apply` is the whole state machine of the store; `DraftTables` puts
 * undecided changes on top for deciders.
 */
export class Tables implements View {
  #index: Version = VERSION_NONE;
  readonly #objects = new Map<ObjectKind, Map<string, AnyObject>>(
    OBJECT_KINDS.map((kind) => [kind, new Map()]),
  );
  readonly #names = new Map<ObjectKind, Map<string, string>>(
    OBJECT_KINDS.map((kind) => [kind, new Map()]),
  );
  readonly #byService: Index = new Map();
  readonly #byNode: Index = new Map();
  readonly #byNetwork: Index = new Map();
  readonly #byVolume: Index = new Map();
  readonly #waiting = new Map<string, Task>();
  readonly #sharedSlots = new SharedSlots();
  readonly #slots = new SlotTasks();
  /** Of nodes whose tasks have not changed since they were asked for. */
  readonly #stamps = new Map<NodeId, object>();

  get index(): Version {
    return this.#index;
  }

  /** Entries without changes (a leader's first, a refused one) move the index too. */
  advance(index: Version): void {
    this.#index = index;
  }

  get cluster(): Cluster | undefined {
    for (const cluster of this.list('cluster')) return cluster;
    return undefined;
  }

  get<K extends ObjectKind>(kind: K, id: ObjectIds[K]): ObjectTypes[K] | undefined {
    return this.#table(kind).get(id);
  }

  list<K extends ObjectKind>(kind: K): Iterable<ObjectTypes[K]> {
    return this.#table(kind).values();
  }

  count(kind: ObjectKind): number {
    return this.#table(kind).size;
  }

  byName<K extends NamedKind>(kind: K, name: string): ObjectTypes[K] | undefined {
    const id = this.#names.get(kind)?.get(name);
    return id === undefined ? undefined : this.#table(kind).get(id);
  }

  tasksOfService(id: ServiceId): Iterable<Task> {
    return this.#byService.get(id)?.values() ?? [];
  }

  tasksOfNode(id: NodeId): Iterable<Task> {
    return this.#byNode.get(id)?.values() ?? [];
  }

  stampOfNode(id: NodeId): object {
    const stamp = this.#stamps.get(id) ?? {};
    this.#stamps.set(id, stamp);
    return stamp;
  }

  tasksOfNetwork(id: NetworkId): Iterable<Task> {
    return this.#byNetwork.get(id)?.values() ?? [];
  }

  tasksOfVolume(id: VolumeId): Iterable<Task> {
    return this.#byVolume.get(id)?.values() ?? [];
  }

  waitingTasks(): Iterable<Task> {
    return this.#waiting.values();
  }

  hasSharedSlot(id: ServiceId): boolean {
    return this.#sharedSlots.has(id);
  }

  tasksOfSlot(id: ServiceId, slot: Slot): Iterable<Task> {
    return this.#slots.of(id, slot);
  }

  countSlots(id: ServiceId): number {
    return this.#slots.count(id);
  }

  revision(serviceId: ServiceId, specVersion: number): Revision | undefined {
    return this.get('revision', revisionId(serviceId, specVersion));
  }

  /** The first reason why `changes` cannot be applied together, or undefined. Changes nothing. */
  check(changes: readonly Change[]): Refusal | undefined {
    const draft = new DraftTables(this);
    for (const change of changes) {
      const refusal = draft.add(change);
      if (refusal) return refusal;
    }
    return this.#takesLastManager(changes, draft);
  }

  /** Who was about to was not the only one: decided again, it sees that it would be the last. */
  #takesLastManager(changes: readonly Change[], draft: DraftTables): Refusal | undefined {
    for (const change of changes) {
      if (change.kind !== 'node' || change.action === 'create') continue;
      const id = change.action === 'remove' ? change.id : change.object.id;
      const demoted = isManager(this.get('node', id)) && !isManager(draft.get('node', id));
      if (!demoted) continue;
      for (const node of draft.list('node')) if (isManager(node)) return undefined;
      return { reason: 'stale', kind: 'node', id };
    }
    return undefined;
  }

  /** Apply changes that `check` accepted, as of log entry `index` stamped `now`. Returns the objects as stored. */
  apply(changes: readonly Change[], index: Version, now: InstantMs): readonly AppliedChange[] {
    this.#index = index;
    return changes.map((change) => this.#applyOne(change, index, now));
  }

  /** Put an object back as a snapshot holds it, version and all. */
  restore<K extends ObjectKind>(kind: K, object: ObjectTypes[K]): void {
    Object.freeze(object);
    this.#set(kind, undefined, object);
  }

  #applyOne(change: Change, index: Version, now: InstantMs): AppliedChange {
    if (change.action === 'remove') {
      const before = must(this.get(change.kind, change.id), `${change.kind} ${change.id}`);
      this.#unset(change.kind, before);
      return { action: 'remove', kind: change.kind, before, after: undefined } as AppliedChange;
    }
    const before = this.get(change.kind, change.object.id);
    const after: AnyObject = { ...change.object, version: index, updatedAt: now };
    Object.freeze(after);
    this.#set(change.kind, before, after);
    return { action: change.action, kind: change.kind, before, after } as AppliedChange;
  }

  #table<K extends ObjectKind>(kind: K): Map<string, ObjectTypes[K]> {
    return must(this.#objects.get(kind), kind) as Map<string, ObjectTypes[K]>;
  }

  #set(kind: ObjectKind, before: AnyObject | undefined, after: AnyObject): void {
    this.#objects.get(kind)?.set(after.id, after);
    this.#rename(kind, before, after);
    if (kind === 'task') this.#reindex(before as Task | undefined, after as Task);
  }

  #unset(kind: ObjectKind, before: AnyObject): void {
    this.#objects.get(kind)?.delete(before.id);
    this.#rename(kind, before, undefined);
    if (kind === 'task') this.#reindex(before as Task, undefined);
    if (kind === 'node') this.#stamps.delete(before.id as NodeId);
  }

  #rename(kind: ObjectKind, before: AnyObject | undefined, after: AnyObject | undefined): void {
    const names = this.#names.get(kind);
    const was = before && uniqueName(kind, before);
    const is = after && uniqueName(kind, after);
    if (was !== undefined && was !== is && names?.get(was) === before?.id) names?.delete(was);
    if (is !== undefined && after) names?.set(is, after.id);
  }

  #reindex(before: Task | undefined, after: Task | undefined): void {
    moveKey(this.#byService, before, after, (task) => [task.serviceId]);
    moveKey(this.#byNode, before, after, (task) => (task.nodeId ? [task.nodeId] : []));
    if (before?.volumes || after?.volumes) {
      moveKey(this.#byVolume, before, after, (task) =>
        (task.volumes ?? []).map(({ volumeId }) => volumeId),
      );
    }
    moveKey(this.#byNetwork, before, after, (task) => task.networks.map((net) => net.networkId));
    this.#sharedSlots.note(before, after);
    this.#slots.note(before, after);
    for (const task of [before, after]) if (task?.nodeId) this.#stamps.delete(task.nodeId);
    if (after && isWaiting(after)) this.#waiting.set(after.id, after);
    else if (before) this.#waiting.delete(before.id);
  }
}

function isManager(node: Node | undefined): boolean {
  return node?.spec.Role === 'manager';
}

/** What a watcher is told of one change. */
export type AppliedChange = {
  [K in ObjectKind]: {
    readonly action: 'create' | 'update' | 'remove';
    readonly kind: K;
    readonly before: ObjectTypes[K] | undefined;
    readonly after: ObjectTypes[K] | undefined;
  };
}[ObjectKind];

function moveKey(
  index: Index,
  before: Task | undefined,
  after: Task | undefined,
  keysOf: (task: Task) => readonly string[],
): void {
  const keep = new Set(after ? keysOf(after) : []);
  for (const key of before ? keysOf(before) : []) {
    if (keep.has(key)) continue;
    const group = index.get(key);
    group?.delete(before?.id ?? '');
    if (group?.size === 0) index.delete(key);
  }
  if (!after) return;
  for (const key of keep) {
    const group = index.get(key);
    if (group) group.set(after.id, after);
    else index.set(key, new Map([[after.id, after]]));
  }
}
