import { compareText, revisionId, type ServiceId, type Task } from '../model/index.ts';
import { Heap } from './heap.ts';
import { isFaulty, type NodeLoad } from './node-load.ts';
import { spreadValue } from './preference.ts';

/**
 * The nodes that may take a task, ordered for taking: branches by the spread preferences, the one with the fewest
 * tasks of the service first; within a branch the node where the service has not failed lately, then with the fewest
 * of its tasks, then with the fewest tasks, then by id.
 */
export class SpreadTree {
  readonly #keys: readonly string[];
  readonly #task: Task;
  readonly #branches = new Map<string, SpreadTree>();
  readonly #nodes: Heap<NodeLoad>;
  #serviceTasks = 0;

  constructor(keys: readonly string[], task: Task) {
    this.#keys = keys;
    this.#task = task;
    const version = revisionId(task.serviceId, task.specVersion);
    this.#nodes = new Heap(
      (left, right) =>
        Number(isFaulty(left, version)) - Number(isFaulty(right, version)) ||
        compareLoads(left, right, task.serviceId),
    );
  }

  add(load: NodeLoad): void {
    this.#serviceTasks += tasksOf(load, this.#task.serviceId);
    const [key, ...rest] = this.#keys;
    if (key === undefined) {
      this.#nodes.push(load);
      return;
    }
    const value = spreadValue(load.node, key);
    const branch = this.#branches.get(value) ?? new SpreadTree(rest, this.#task);
    this.#branches.set(value, branch);
    branch.add(load);
  }

  /**
   * Offer nodes, best first, to `place` until it takes one; a node that it refuses is not offered again. False when
   * none is left.
   */
  take(place: (load: NodeLoad) => boolean): boolean {
    const taken = this.#keys.length === 0 ? this.#takeNode(place) : this.#takeBranch(place);
    if (taken) this.#serviceTasks += 1;
    return taken;
  }

  #takeNode(place: (load: NodeLoad) => boolean): boolean {
    for (let load = this.#nodes.pop(); load; load = this.#nodes.pop()) {
      if (!place(load)) continue;
      this.#nodes.push(load);
      return true;
    }
    return false;
  }

  #takeBranch(place: (load: NodeLoad) => boolean): boolean {
    const sorted = [...this.#branches].toSorted(
      ([leftName, left], [rightName, right]) =>
        left.#serviceTasks - right.#serviceTasks || compareText(leftName, rightName),
    );
    for (const [name, branch] of sorted) {
      if (branch.take(place)) return true;
      this.#branches.delete(name);
    }
    return false;
  }
}

function compareLoads(left: NodeLoad, right: NodeLoad, service: ServiceId): number {
  return (
    tasksOf(left, service) - tasksOf(right, service) ||
    left.tasks - right.tasks ||
    compareText(left.node.id, right.node.id)
  );
}

function tasksOf(load: NodeLoad, service: ServiceId): number {
  return load.byService.get(service) ?? 0;
}
