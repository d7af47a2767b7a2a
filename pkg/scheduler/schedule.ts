import {
  type Change,
  type DeciderInput,
  type Decision,
  type NodeId,
  type RevisionId,
  revisionId,
  type ServiceSpec,
  type Task,
  updateObject,
  type View,
} from '../model/index.ts';
import type { Candidate } from './filter/filter.ts';
import { addTask, measureLoad, type NodeLoad } from './node-load.ts';
import { Pipeline } from './pipeline.ts';
import { spreadKeys } from './preference.ts';
import { SpreadTree } from './spread-tree.ts';

/**
 * Choose a node for every task that waits for one (`pending` → `assigned`), task by task of the same spec together. A
 * task that fits nowhere says why and is looked at again in every pass.
 */
export function decidePlacement(input: DeciderInput): Decision {
  const waiting: Task[] = [];
  for (const task of input.view.list('task')) if (isWaiting(task)) waiting.push(task);
  if (waiting.length === 0) return { changes: [] };
  const placement = new Placement(input);
  for (const tasks of grouped(waiting)) placement.placeGroup(tasks);
  return { changes: placement.changes };
}

class Placement {
  readonly changes: Change[] = [];
  readonly #input: DeciderInput;
  readonly #specs: (task: Task) => ServiceSpec | undefined;
  readonly #loads: ReadonlyMap<NodeId, NodeLoad>;

  constructor(input: DeciderInput) {
    this.#input = input;
    this.#specs = specReader(input.view);
    this.#loads = measureLoad(input.view, this.#specs, input.now);
  }

  /** Tasks of one spec: the nodes are filtered and ordered once. */
  placeGroup(tasks: readonly Task[]): void {
    const [first] = tasks;
    const spec = first && this.#specs(first);
    if (!first || !spec) return;
    const candidate: Candidate = { task: first, spec };
    const pipeline = new Pipeline(candidate);
    for (const task of tasks)
      if (task.nodeId !== undefined) this.#confirm(task, candidate, pipeline);
    const free = tasks.filter((task) => task.nodeId === undefined);
    if (free.length > 0) this.#spread(free, candidate, pipeline);
  }

  #spread(tasks: readonly Task[], { task, spec }: Candidate, pipeline: Pipeline): void {
    const tree = new SpreadTree(spreadKeys(spec), task);
    for (const load of this.#loads.values()) if (pipeline.accepts(load)) tree.add(load);
    let refusal: string | undefined;
    for (const one of tasks) {
      const placed =
        refusal === undefined &&
        tree.take((load) => pipeline.accepts(load) && this.#assign(one, spec, load));
      if (placed) continue;
      refusal ??= pipeline.explain(this.#loads.values());
      this.#refuse(one, refusal);
    }
  }

  /** Global tasks come with their node: it takes them or they wait. */
  #confirm(task: Task, { spec }: Candidate, pipeline: Pipeline): void {
    const load = task.nodeId === undefined ? undefined : this.#loads.get(task.nodeId);
    if (load && pipeline.accepts(load)) this.#assign(task, spec, load);
    else this.#refuse(task, pipeline.explain(load ? [load] : []));
  }

  #assign(task: Task, spec: ServiceSpec, load: NodeLoad): true {
    const message =
      task.nodeId === undefined
        ? 'scheduler assigned task to node'
        : 'scheduler confirmed task can run on preassigned node';
    const status = { state: 'assigned', at: this.#input.now, message } as const;
    const assigned: Task = { ...task, nodeId: load.node.id, status };
    addTask(load, assigned, spec);
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

function isWaiting(task: Task): boolean {
  const wanted = task.desiredState !== 'shutdown' && task.desiredState !== 'remove';
  return wanted && task.status.state === 'pending';
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

function specReader(view: View): (task: Task) => ServiceSpec | undefined {
  return (task) =>
    view.revision(task.serviceId, task.specVersion)?.spec ??
    view.get('service', task.serviceId)?.spec;
}
