import {
  compareTaskState,
  compareText,
  isRunnable,
  minAvailableOf,
  type NodeId,
  type ServiceId,
  serviceMode,
  type Task,
  type TaskId,
  type View,
} from '../model/index.ts';
import { addTask, emptyLoad, type NodeLoad } from './node-load.ts';
import { Pipeline } from './pipeline.ts';
import { VolumeUse } from './volume-use.ts';
import type { Want } from './want.ts';

/** How much lower the priority of a task must be to be stopped for another (Nomad's figure). */
const PRIORITY_GAP = 10;

/** Where a task will find room once `victims` have stopped; none when what is stopping already is enough. */
interface RoomPlan {
  readonly node: NodeId;
  readonly victims: readonly Task[];
}

/** Which tasks of lower priority have to stop so that a task finds room. */
export class Preemption {
  readonly #view: View;
  readonly #wants: (task: Task) => Want | undefined;
  readonly #stopped = new Set<TaskId>();
  /** Who was given a place in this pass, or waits for one to become free. */
  readonly #coming = new Map<NodeId, Task[]>();
  readonly #spare = new Map<ServiceId, number>();

  constructor(view: View, wants: (task: Task) => Want | undefined) {
    this.#view = view;
    this.#wants = wants;
  }

  /** The node will have this task, too. */
  expect(node: NodeId, task: Task): void {
    this.#coming.set(node, [...(this.#coming.get(node) ?? []), task]);
  }

  /** The fewest tasks, of the lowest priority, on one node; undefined when nothing would help. */
  planFor(task: Task, want: Want, loads: Iterable<NodeLoad>): RoomPlan | undefined {
    const pipeline = new Pipeline({ task, spec: want.spec, volumes: new VolumeUse(this.#view) });
    let best: RoomPlan | undefined;
    for (const { node } of loads) {
      const plan = this.#planOn(node.id, want, pipeline);
      if (plan && (!best || this.#compare(plan, best) < 0)) best = plan;
      if (best?.victims.length === 0) break;
    }
    if (!best) return undefined;
    this.expect(best.node, task);
    for (const victim of best.victims) {
      this.#stopped.add(victim.id);
      this.#spare.set(victim.serviceId, this.#spareOf(victim) - 1);
    }
    return best;
  }

  #planOn(node: NodeId, want: Want, pipeline: Pipeline): RoomPlan | undefined {
    if (this.#fits(node, [], pipeline)) return { node, victims: [] };
    const victims: Task[] = [];
    const spent = new Map<ServiceId, number>();
    for (const victim of this.#candidates(node, want)) {
      const used = spent.get(victim.serviceId) ?? 0;
      if (used >= this.#spareOf(victim)) continue;
      spent.set(victim.serviceId, used + 1);
      victims.push(victim);
      if (!this.#fits(node, victims, pipeline)) continue;
      return { node, victims: this.#onlyNeeded(node, victims, pipeline) };
    }
    return undefined;
  }

  /** Leaves out whoever turned out not to be in the way, the highest priority first. */
  #onlyNeeded(node: NodeId, victims: readonly Task[], pipeline: Pipeline): readonly Task[] {
    let needed = victims;
    for (const victim of victims.toReversed()) {
      const fewer = needed.filter((other) => other !== victim);
      if (this.#fits(node, fewer, pipeline)) needed = fewer;
    }
    return needed;
  }

  /** Lowest priority first, then the youngest: what ran long stays. */
  #candidates(node: NodeId, want: Want): readonly Task[] {
    return [...this.#view.tasksOfNode(node)]
      .filter((task) => isRunnable(task) && !this.#stopped.has(task.id))
      .filter((task) => this.#priority(task) + PRIORITY_GAP <= want.policy.priority)
      .toSorted(
        (left, right) =>
          this.#priority(left) - this.#priority(right) ||
          right.createdAt - left.createdAt ||
          compareText(left.id, right.id),
      );
  }

  #compare(left: RoomPlan, right: RoomPlan): number {
    const cost = ({ victims }: RoomPlan): number =>
      victims.reduce((sum, victim) => sum + 1 + this.#priority(victim), 0);
    return cost(left) - cost(right) || compareText(left.node, right.node);
  }

  #priority(task: Task): number {
    return this.#wants(task)?.policy.priority ?? 0;
  }

  /** How many running tasks the service of the task can lose before it is below what it must have. */
  #spareOf(task: Task): number {
    const known = this.#spare.get(task.serviceId);
    if (known !== undefined) return known;
    const running = [...this.#view.tasksOfService(task.serviceId)].filter(
      (other) => isRunnable(other) && other.status.state === 'running',
    ).length;
    const want = this.#wants(task);
    const mode = want && serviceMode(want.spec);
    const wanted = mode?.kind === 'replicated' ? mode.replicas : running;
    const least = want ? minAvailableOf(want.policy, wanted) : 0;
    const spare = least === 0 ? Number.MAX_SAFE_INTEGER : Math.max(0, running - least);
    this.#spare.set(task.serviceId, spare);
    return spare;
  }

  /** Does the node take the task once what is stopping, what was stopped here before, and `gone` have stopped? */
  #fits(nodeId: NodeId, gone: readonly Task[], pipeline: Pipeline): boolean {
    const node = this.#view.get('node', nodeId);
    if (!node) return false;
    const load = emptyLoad(node);
    for (const task of this.#view.tasksOfNode(nodeId)) {
      const stays = isRunnable(task) && compareTaskState(task.status.state, 'assigned') >= 0;
      if (!stays || gone.includes(task) || this.#stopped.has(task.id)) continue;
      addTask(load, task, this.#wants(task)?.demand);
    }
    for (const task of this.#coming.get(nodeId) ?? []) {
      addTask(load, task, this.#wants(task)?.demand);
    }
    return pipeline.accepts(load);
  }
}
