import type { Change } from './change.ts';
import type { Cluster } from './cluster.ts';
import type { InstantMs, NetworkId, NodeId, ServiceId, Version } from './id.ts';
import { revisionId, VERSION_NONE } from './id.ts';
import { must } from './invariant.ts';
import { merged } from './merged.ts';
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
import { haveSharedSlot, SharedSlots } from './shared-slots.ts';
import { isWaiting, type Task } from './task.ts';
import type { View } from './view.ts';

type AnyObject = ObjectTypes[ObjectKind];
type Index = Map<string, Map<string, Task>>;

/** Why a transaction was refused when it was applied; nothing of it happened. */
export type Refusal =
  | {
      readonly reason: 'exists';
      readonly kind: ObjectKind;
      readonly name: string;
      readonly id: string;
    }
  | { readonly reason: 'missing'; readonly kind: ObjectKind; readonly id: string }
  | { readonly reason: 'stale'; readonly kind: ObjectKind; readonly id: string };

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
  readonly #waiting = new Map<string, Task>();
  readonly #sharedSlots = new SharedSlots();

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

  tasksOfNetwork(id: NetworkId): Iterable<Task> {
    return this.#byNetwork.get(id)?.values() ?? [];
  }

  waitingTasks(): Iterable<Task> {
    return this.#waiting.values();
  }

  hasSharedSlot(id: ServiceId): boolean {
    return this.#sharedSlots.has(id);
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
    moveKey(this.#byNetwork, before, after, (task) => task.networks.map((net) => net.networkId));
    this.#sharedSlots.note(before, after);
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

/**
 * A view with undecided changes on top of another view: what the store will look like once they are applied. Deciders
 * of one pass run over the same draft; a transaction collects into one.
 */
export class DraftTables implements View {
  readonly #base: View;
  readonly #changes: Change[] = [];
  readonly #edits = new Map<ObjectKind, Map<string, AnyObject | undefined>>();
  /** The edited tasks of each service; a task never changes its service. */
  readonly #editsOfService = new Map<ServiceId, Map<string, Task | undefined>>();
  /** The edited tasks of each node; undefined: removed, or on another node now. */
  readonly #editsOfNode = new Map<NodeId, Map<string, Task | undefined>>();

  constructor(base: View) {
    this.#base = base;
  }

  /** Everything added so far, in order. */
  get changes(): readonly Change[] {
    return this.#changes;
  }

  get index(): Version {
    return this.#base.index;
  }

  get cluster(): Cluster | undefined {
    for (const cluster of this.list('cluster')) return cluster;
    return undefined;
  }

  /** Take in one change, or say why it does not fit; a refused change leaves the draft as it was. */
  add(change: Change): Refusal | undefined {
    const refusal = this.#refuse(change);
    if (refusal) return refusal;
    this.#changes.push(change);
    if (change.kind === 'task') this.#noteTask(change);
    const edits = this.#edits.get(change.kind) ?? new Map<string, AnyObject | undefined>();
    this.#edits.set(change.kind, edits);
    if (change.action === 'remove') edits.set(change.id, undefined);
    else edits.set(change.object.id, change.object);
    return undefined;
  }

  #noteTask(change: Extract<Change, { kind: 'task' }>): void {
    const after = change.action === 'remove' ? undefined : change.object;
    const id = change.action === 'remove' ? change.id : change.object.id;
    const before = this.get('task', id);
    const { serviceId } = must(after ?? before, 'the task to remove');
    noteEdit(this.#editsOfService, serviceId, id, after);
    const left = before?.nodeId;
    if (left !== undefined) noteEdit(this.#editsOfNode, left, id, undefined);
    if (after?.nodeId !== undefined) noteEdit(this.#editsOfNode, after.nodeId, id, after);
  }

  get<K extends ObjectKind>(kind: K, id: ObjectIds[K]): ObjectTypes[K] | undefined {
    const edits = this.#edits.get(kind);
    if (edits?.has(id)) return edits.get(id) as ObjectTypes[K] | undefined;
    return this.#base.get(kind, id);
  }

  *list<K extends ObjectKind>(kind: K): Iterable<ObjectTypes[K]> {
    const edits = this.#edits.get(kind);
    if (!edits) {
      yield* this.#base.list(kind);
      return;
    }
    yield* merged(this.#base.list(kind), edits as ReadonlyMap<string, ObjectTypes[K] | undefined>);
  }

  count(kind: ObjectKind): number {
    let total = this.#base.count(kind);
    for (const [id, object] of this.#edits.get(kind) ?? []) {
      const was = this.#base.get(kind, id as ObjectIds[typeof kind]) !== undefined;
      if (was && object === undefined) total -= 1;
      if (!was && object !== undefined) total += 1;
    }
    return total;
  }

  byName<K extends NamedKind>(kind: K, name: string): ObjectTypes[K] | undefined {
    for (const object of this.#edits.get(kind)?.values() ?? []) {
      if (object && uniqueName(kind, object as ObjectTypes[K]) === name)
        return object as ObjectTypes[K];
    }
    const found = this.#base.byName(kind, name);
    if (!found || this.#edits.get(kind)?.has(found.id)) return undefined;
    return found;
  }

  tasksOfService(id: ServiceId): Iterable<Task> {
    const base = this.#base.tasksOfService(id);
    const edits = this.#editsOfService.get(id);
    return edits ? merged(base, edits) : base;
  }

  tasksOfNode(id: NodeId): Iterable<Task> {
    const base = this.#base.tasksOfNode(id);
    const edits = this.#editsOfNode.get(id);
    return edits ? merged(base, edits) : base;
  }

  tasksOfNetwork(id: NetworkId): Iterable<Task> {
    const attached = (task: Task): boolean => task.networks.some((net) => net.networkId === id);
    return this.#tasks(this.#base.tasksOfNetwork(id), attached);
  }

  waitingTasks(): Iterable<Task> {
    return this.#tasks(this.#base.waitingTasks(), isWaiting);
  }

  hasSharedSlot(id: ServiceId): boolean {
    if (!this.#editsOfService.has(id)) return this.#base.hasSharedSlot(id);
    return haveSharedSlot(this.tasksOfService(id));
  }

  revision(serviceId: ServiceId, specVersion: number): Revision | undefined {
    return this.get('revision', revisionId(serviceId, specVersion));
  }

  #tasks(base: Iterable<Task>, belongs: (task: Task) => boolean): Iterable<Task> {
    const edits = this.#edits.get('task') as ReadonlyMap<string, Task | undefined> | undefined;
    return edits ? merged(base, edits, belongs) : base;
  }

  #refuse(change: Change): Refusal | undefined {
    const { kind } = change;
    const id = change.action === 'remove' ? change.id : change.object.id;
    const current = this.get(kind, id as ObjectIds[typeof kind]);
    if (change.action === 'create') {
      if (current) return { reason: 'exists', kind, name: id, id };
      return this.#nameTaken(change);
    }
    if (!current) return { reason: 'missing', kind, id };
    if (current.version !== change.seen) return { reason: 'stale', kind, id };
    return change.action === 'update' ? this.#nameTaken(change) : undefined;
  }

  #nameTaken(change: Exclude<Change, { action: 'remove' }>): Refusal | undefined {
    const { kind, object } = change;
    const name = uniqueName(kind, object);
    if (name === undefined) return undefined;
    const holder = this.byName(kind as NamedKind, name);
    if (!holder || holder.id === object.id) return undefined;
    return { reason: 'exists', kind, name, id: holder.id };
  }
}

function noteEdit<Key>(
  edits: Map<Key, Map<string, Task | undefined>>,
  key: Key,
  id: string,
  task: Task | undefined,
): void {
  const known = edits.get(key);
  if (known) known.set(id, task);
  else edits.set(key, new Map([[id, task]]));
}
