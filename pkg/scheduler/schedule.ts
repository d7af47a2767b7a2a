import {
  type Change,
  type DeciderInput,
  type Decision,
  isRunnable,
  type NodeId,
  type RevisionId,
  revisionId,
  type Task,
  updateObject,
} from '../model/index.ts';
import type { Candidate } from './filter/filter.ts';
import { addTask, type Demand, measureLoad, type NodeLoad } from './node-load.ts';
import { Pipeline } from './pipeline.ts';
import { spreadKeys } from './preference.ts';
import { SpreadTree } from './spread-tree.ts';
import { type Want, wantReader } from './want.ts';

/**
 * Choose a node for every task that waits for one (`pending` → `assigned`), task by task of the same spec together. A
 * task that fits nowhere says why, and is looked at again when something happened that may have made room.
 */
export function decidePlacement(input: DeciderInput): Decision {
  const again = mayHaveMadeRoom(input);
  const waiting: Task[] = [];
  for (const task of input.view.waitingTasks()) {
    const asked = again || task.status.error === undefined;
    if (asked && task.status.state === 'pending') waiting.push(task);
  }
  if (waiting.length === 0) return { changes: [] };
  const placement = new Placement(input);
  for (const tasks of grouped(waiting)) placement.placeGroup(tasks);
  return { changes: placement.changes };
}

/** A node changed, or a task that held something is over, unwanted or gone; nothing else makes room. */
function mayHaveMadeRoom({ view, dirty }: DeciderInput): boolean {
  if (dirty.nodes.size > 0) return true;
  for (const id of dirty.tasks) {
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

  constructor(input: DeciderInput) {
    this.#input = input;
    this.#wants = wantReader(input.view);
    this.#loads = measureLoad(input.view, (task) => this.#wants(task)?.demand, input.now);
  }

  /** Tasks of one spec: the nodes are filtered and ordered once. */
  placeGroup(tasks: readonly Task[]): void {
    const [first] = tasks;
    const want = first && this.#wants(first);
    if (!first || !want) return;
    const candidate: Candidate = { task: first, spec: want.spec };
    const pipeline = new Pipeline(candidate);
    for (const task of tasks)
      if (task.nodeId !== undefined) this.#confirm(task, want.demand, pipeline);
    const free = tasks.filter((task) => task.nodeId === undefined);
    if (free.length > 0) this.#spread(free, want, pipeline);
  }

  #spread(tasks: readonly Task[], { spec, demand }: Want, pipeline: Pipeline): void {
    const [first] = tasks;
    if (!first) return;
    const tree = new SpreadTree(spreadKeys(spec), first);
    for (const load of this.#loads.values()) if (pipeline.accepts(load)) tree.add(load);
    let refusal: string | undefined;
    for (const one of tasks) {
      const placed =
        refusal === undefined &&
        tree.take((load) => pipeline.accepts(load) && this.#assign(one, demand, load));
      if (placed) continue;
      refusal ??= pipeline.explain(this.#loads.values());
      this.#refuse(one, refusal);
    }
  }

  /** Global tasks come with their node: it takes them or they wait. */
  #confirm(task: Task, demand: Demand, pipeline: Pipeline): void {
    const load = task.nodeId === undefined ? undefined : this.#loads.get(task.nodeId);
    if (load && pipeline.accepts(load)) this.#assign(task, demand, load);
    else this.#refuse(task, pipeline.explain(load ? [load] : []));
  }

  #assign(task: Task, demand: Demand, load: NodeLoad): true {
    const message =
      task.nodeId === undefined
        ? 'scheduler assigned task to node'
        : 'scheduler confirmed task can run on preassigned node';
    const status = { state: 'assigned', at: this.#input.now, message } as const;
    const assigned: Task = { ...task, nodeId: load.node.id, status };
    addTask(load, assigned, demand);
    this.changes.push(updateObject('task', assigned));
    return true;
  }

  /** Said once: the same reason again is no change. */
  #refuse(task: Task, error: string): void {
    if (task.status.error === error) return;
    const status = { ...task.status, message: 'pending task scheduling', error };
    this.changes.push(updateObject('task', { ...task, status }));
  }
}

/** By service version, in order of first appearance. */
function grouped(tasks: readonly Task[]): Iterable<readonly Task[]> {
  const groups = new Map<RevisionId, Task[]>();
  for (const task of tasks) {
    const key = revisionId(task.serviceId, task.specVersion);
    const group = groups.get(key);
    if (group) group.push(task);
    else groups.set(key, [task]);
  }
  return groups.values();
}
