import {
  type Change,
  claimGeneric,
  type DeciderInput,
  inSteps,
  isRunnable,
  type NodeId,
  type RevisionId,
  revisionId,
  type ServiceId,
  type Slot,
  slotName,
  slotOf,
  type Task,
  updateObject,
  type View,
} from '../model/index.ts';
import type { Candidate } from './filter/filter.ts';
import { addTask, discountTask, measureLoadInSteps, type NodeLoad } from './node-load.ts';
import { Pipeline } from './pipeline.ts';
import { Preemption } from './preempt.ts';
import { spreadKeys } from './preference.ts';
import { badNodes } from './quarantine.ts';
import { Ranking } from './ranking.ts';
import { SpreadTree } from './spread-tree.ts';
import { VolumeUse, volumeWishes } from './volume-use.ts';
import { type Want, wantReader } from './want.ts';

const TASKS_PER_STEP = 32;
const LOOKS_PER_STEP = 500;

/**
 * Choose a node for every task that waits for one (`pending` → `assigned`), task by task of the same spec together, of
 * high priority first. A task that fits nowhere says why, and is looked at again when something happened that may have
 * made room; if its service may preempt, tasks of lower priority are told to stop for it.
 */
export const decidePlacement = inSteps(function* decidePlacement(input) {
  const again = yield* mayHaveMadeRoom(input);
  const pending: Task[] = [];
  let fresh = 0;
  let seen = 0;
  for (const task of input.view.waitingTasks()) {
    if (++seen % LOOKS_PER_STEP === 0) yield;
    if (task.status.state !== 'pending') continue;
    pending.push(task);
    if (task.status.error === undefined) fresh += 1;
  }
  if (pending.length === 0 || (!again && fresh === 0)) return { changes: [] };
  yield;
  const placement = yield* Placement.begin(input);
  const asked = again ? pending : yield* placement.asked(pending);
  const groups = placement.byPriority(yield* grouped(asked));
  yield;
  for (const tasks of groups) yield* placement.placeGroup(tasks);
  return { changes: placement.changes };
});

/** A node changed, or a task that held something is over, unwanted or gone; nothing else makes room. */
function* mayHaveMadeRoom({ view, dirty }: DeciderInput): Generator<void, boolean> {
  if (dirty.nodes.size > 0 || dirty.volumes.size > 0) return true;
  let seen = 0;
  for (const id of dirty.tasks) {
    if (++seen % LOOKS_PER_STEP === 0) yield;
    const task = view.get('task', id);
    if (!task || !isRunnable(task)) return true;
  }
  return false;
}

class Placement {
  readonly changes: Change[] = [];
  readonly #input: DeciderInput;
  readonly #wants: (task: Task) => Want | undefined;
  readonly #loads: ReadonlyMap<NodeId, NodeLoad>;
  readonly #bad: ReadonlySet<NodeId>;
  readonly #preemption: Preemption;
  readonly #discounted = new Set<ServiceId>();
  readonly #volumes: VolumeUse;

  private constructor(
    input: DeciderInput,
    wants: (task: Task) => Want | undefined,
    loads: ReadonlyMap<NodeId, NodeLoad>,
  ) {
    this.#input = input;
    this.#wants = wants;
    this.#loads = loads;
    this.#bad = badNodes(loads);
    this.#preemption = new Preemption(input.view, wants);
    this.#volumes = new VolumeUse(input.view);
  }

  static *begin(input: DeciderInput): Generator<void, Placement> {
    const wants = wantReader(input.view);
    const loads = yield* measureLoadInSteps(input.view, (task) => wants(task)?.demand, input.now);
    return new Placement(input, wants, loads);
  }

  /** Not refused before; or they wait for room that is being made for them, which nobody else may take meanwhile. */
  *asked(tasks: readonly Task[]): Generator<void, readonly Task[]> {
    const found: Task[] = [];
    for (const [at, task] of tasks.entries()) {
      if (at % LOOKS_PER_STEP === 0) yield;
      const fresh = task.status.error === undefined;
      if (fresh || this.#wants(task)?.policy.preempt) found.push(task);
    }
    return found;
  }

  /** Stable: groups of one priority stay as they are. */
  byPriority(groups: readonly (readonly Task[])[]): readonly (readonly Task[])[] {
    const priority = ([first]: readonly Task[]): number =>
      (first && this.#wants(first)?.policy.priority) ?? 0;
    return groups.toSorted((left, right) => priority(right) - priority(left));
  }

  /** Tasks of one spec: the nodes are filtered and ordered once. */
  *placeGroup(tasks: readonly Task[]): Generator<void, void> {
    const [first] = tasks;
    const want = first && this.#wants(first);
    if (!first || !want) return;
    const candidate: Candidate = { task: first, spec: want.spec, volumes: this.#volumes };
    const pipeline = new Pipeline(candidate);
    const free: Task[] = [];
    for (const [at, task] of tasks.entries()) {
      if (at % LOOKS_PER_STEP === 0) yield;
      if (task.nodeId === undefined) free.push(task);
      else this.#confirm(task, want, pipeline);
    }
    if (free.length > 0) yield* this.#spread(free, want, pipeline);
  }

  *#spread(tasks: readonly Task[], want: Want, pipeline: Pipeline): Generator<void, void> {
    const [first] = tasks;
    if (!first) return;
    yield* this.#discountReplaced(first.serviceId);
    const loads = this.#loads.values();
    const ranking = new Ranking(this.#input.view, want, first, { loads, bad: this.#bad });
    const tree = new SpreadTree(spreadKeys(want.spec), ranking);
    for (const load of this.#loads.values()) if (pipeline.accepts(load)) tree.add(load);
    let refusal: string | undefined;
    for (const [at, one] of tasks.entries()) {
      if (at % TASKS_PER_STEP === 0) yield;
      const placed =
        refusal === undefined &&
        tree.take((load) => pipeline.accepts(load) && this.#assign(one, want, load));
      if (placed) continue;
      refusal ??= pipeline.explain(this.#loads.values());
      this.#refuse(one, refusal);
      this.#makeRoom(one, want, this.#loads.values());
    }
  }

  /** Whom the update replaces is about to go: else start-first would leave the service less spread than it was. */
  *#discountReplaced(id: ServiceId): Generator<void, void> {
    const { view } = this.#input;
    if (this.#discounted.has(id)) return;
    this.#discounted.add(id);
    const state = view.get('service', id)?.updateStatus?.state;
    if (state !== 'updating' && state !== 'rollback_started') return;
    for (const task of yield* olderOfSlots(view, id)) {
      const load = task.nodeId && this.#loads.get(task.nodeId);
      if (load) discountTask(load, task);
    }
  }

  /** Global tasks come with their node: it takes them or they wait. */
  #confirm(task: Task, want: Want, pipeline: Pipeline): void {
    const load = task.nodeId === undefined ? undefined : this.#loads.get(task.nodeId);
    if (load && pipeline.accepts(load)) {
      this.#assign(task, want, load);
      return;
    }
    this.#refuse(task, pipeline.explain(load ? [load] : []));
    if (load) this.#makeRoom(task, want, [load]);
  }

  #assign(task: Task, { demand, spec }: Want, load: NodeLoad): true {
    const message =
      task.nodeId === undefined
        ? 'scheduler assigned task to node'
        : 'scheduler confirmed task can run on preassigned node';
    const status = { state: 'assigned', at: this.#input.now, message } as const;
    const offered = load.node.description?.genericResources ?? [];
    const claims = claimGeneric(offered, load.generic, demand.generic);
    const { volumes } = this.#volumes.pick(volumeWishes(spec), load.node);
    const assigned: Task = {
      ...task,
      nodeId: load.node.id,
      status,
      ...(claims?.length ? { genericResources: claims } : {}),
      ...(volumes?.length ? { volumes } : {}),
    };
    this.#volumes.take(assigned);
    addTask(load, assigned, demand);
    this.#preemption.expect(load.node.id, assigned);
    this.changes.push(updateObject('task', assigned));
    return true;
  }

  /** Said once: the same reason again is no change. */
  #refuse(task: Task, error: string): void {
    if (task.status.error === error) return;
    const status = { ...task.status, message: 'pending task scheduling', error };
    this.changes.push(updateObject('task', { ...task, status }));
  }

  #makeRoom(task: Task, want: Want, loads: Iterable<NodeLoad>): void {
    if (!want.policy.preempt) return;
    const plan = this.#preemption.planFor(task, want, loads);
    if (!plan) return;
    const load = this.#loads.get(plan.node);
    if (load) addTask(load, task, want.demand);
    const error = `preempted by ${slotName(task)} (priority ${want.policy.priority})`;
    for (const victim of plan.victims) {
      const status = { ...victim.status, error };
      this.changes.push(updateObject('task', { ...victim, desiredState: 'shutdown', status }));
    }
  }
}

/** Running tasks that share their slot with a younger one. */
function* olderOfSlots(view: View, id: ServiceId): Generator<void, readonly Task[]> {
  const youngest = new Map<Slot, Task>();
  const older: Task[] = [];
  let seen = 0;
  // Oldest first.
  for (const task of view.tasksOfService(id)) {
    if (++seen % LOOKS_PER_STEP === 0) yield;
    if (!isRunnable(task)) continue;
    const before = youngest.get(slotOf(task));
    if (before?.status.state === 'running' && !before.move) older.push(before);
    youngest.set(slotOf(task), task);
  }
  return older;
}

/** By service version, in order of first appearance. */
function* grouped(tasks: readonly Task[]): Generator<void, readonly (readonly Task[])[]> {
  const groups = new Map<RevisionId, Task[]>();
  let last: Task[] | undefined;
  let seen = 0;
  for (const task of tasks) {
    if (++seen % LOOKS_PER_STEP === 0) yield;
    // Mostly they come in a row.
    if (last?.[0]?.serviceId === task.serviceId && last[0].specVersion === task.specVersion) {
      last.push(task);
      continue;
    }
    const key = revisionId(task.serviceId, task.specVersion);
    const group = groups.get(key);
    last = group ?? [];
    if (!group) groups.set(key, last);
    last.push(task);
  }
  return [...groups.values()];
}
