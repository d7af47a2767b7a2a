import {
  compareText,
  type NodeId,
  nodeMatches,
  type PlacementWish,
  type RevisionId,
  revisionId,
  type Task,
  type View,
} from '../model/index.ts';
import { type Demand, isFaulty, type NodeLoad } from './node-load.ts';
import type { Want } from './want.ts';

const ZONE_LABEL = 'zone';
/** Where the tasks of the zone stand among the numbers of `spread`. */
const ZONE_AT = 3;
/** With `spread`, reservations only matter in such steps: who reserves little is spread by number. */
const FULLNESS_STEPS = 4;

/** How good a node is for a task: compared number by number, smaller is better. */
export interface Rank {
  readonly load: NodeLoad;
  readonly numbers: readonly number[];
}

/** The order in which the nodes are taken for tasks of one spec. Ties end at the node's id. */
export class Ranking {
  readonly #task: Task;
  readonly #want: Want;
  readonly #version: RevisionId;
  readonly #bad: ReadonlySet<NodeId>;
  readonly #prefer: readonly Wish[];
  readonly #avoid: readonly Wish[];
  readonly #loads: Iterable<NodeLoad>;
  /** Counted when nodes of different zones are compared first: mostly there is only one. */
  #tasksOfZone: Map<string, number> | undefined;

  constructor(
    view: View,
    want: Want,
    task: Task,
    surroundings: { readonly loads: Iterable<NodeLoad>; readonly bad: ReadonlySet<NodeId> },
  ) {
    this.#task = task;
    this.#want = want;
    this.#version = revisionId(task.serviceId, task.specVersion);
    this.#bad = surroundings.bad;
    this.#prefer = want.policy.prefer.map((wish) => resolve(view, wish));
    this.#avoid = want.policy.avoid.map((wish) => resolve(view, wish));
    this.#loads = surroundings.loads;
  }

  tasksOf(load: NodeLoad): number {
    return load.byService.get(this.#task.serviceId) ?? 0;
  }

  isFaulty(load: NodeLoad): boolean {
    return isFaulty(load, this.#version);
  }

  isBad(load: NodeLoad): boolean {
    return this.#bad.has(load.node.id);
  }

  /** Wishes that the node meets, less those that speak against it. */
  wishes(load: NodeLoad): number {
    if (this.#prefer.length + this.#avoid.length === 0) return 0;
    const met = (wish: Wish): boolean => wish(load);
    return this.#prefer.filter(met).length - this.#avoid.filter(met).length;
  }

  hasImage(load: NodeLoad): boolean {
    return load.images.has(this.#want.demand.image);
  }

  /** Share of the scarcer of CPU and memory that is reserved once the task is there. */
  fullness(load: NodeLoad): number {
    return fullness(load, this.#want.demand);
  }

  /** Without the tasks of the zone: they change for all its nodes at once. Compares nodes of one zone. */
  rank(load: NodeLoad): Rank {
    const shunned = (this.isBad(load) ? 2 : 0) + (this.isFaulty(load) ? 1 : 0);
    const image = this.hasImage(load) ? 0 : 1;
    const wished = -this.wishes(load);
    const numbers =
      this.#want.policy.strategy === 'binpack'
        ? [shunned, wished, -this.fullness(load), -load.tasks, image]
        : [
            shunned,
            wished,
            this.tasksOf(load),
            0,
            Math.floor(this.fullness(load) * FULLNESS_STEPS),
            load.tasks,
            image,
          ];
    return { load, numbers };
  }

  /** The same with the tasks of the zone as they are now: compares nodes of different zones. */
  withZone({ load, numbers }: Rank): Rank {
    if (this.#want.policy.strategy === 'binpack') return { load, numbers };
    this.#tasksOfZone ??= this.#countZones();
    return { load, numbers: numbers.with(ZONE_AT, this.#tasksOfZone.get(zoneOf(load)) ?? 0) };
  }

  /** A task was given to the node. */
  placed(load: NodeLoad): void {
    if (this.#tasksOfZone) addTo(this.#tasksOfZone, load, 1);
  }

  #countZones(): Map<string, number> {
    const tasks = new Map<string, number>();
    for (const load of this.#loads) addTo(tasks, load, this.tasksOf(load));
    return tasks;
  }
}

function addTo(tasksOfZone: Map<string, number>, load: NodeLoad, tasks: number): void {
  const zone = zoneOf(load);
  if (tasks > 0) tasksOfZone.set(zone, (tasksOfZone.get(zone) ?? 0) + tasks);
}

export function compareRanks(left: Rank, right: Rank): number {
  // An index instead of an iterator: ten comparisons for every task that is placed.
  for (let at = 0; at < left.numbers.length; at++) {
    const difference = (left.numbers[at] ?? 0) - (right.numbers[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return compareText(left.load.node.id, right.load.node.id);
}

type Wish = (load: NodeLoad) => boolean;

function resolve(view: View, wish: PlacementWish): Wish {
  if (wish.key.toLowerCase() !== 'service') return ({ node }) => nodeMatches(node, wish);
  const id = view.byName('service', wish.value)?.id;
  return ({ byService }) => id !== undefined && (byService.get(id) ?? 0) > 0;
}

/** Asked of every node for every group of tasks, as the rest of a rank is. */
function fullness(load: NodeLoad, demand: Demand): number {
  const { description } = load.node;
  if (description === undefined) return 0;
  const cpus = share(load.nanoCpus + demand.nanoCpus, description.nanoCpus);
  const memory = share(load.memoryBytes + demand.memoryBytes, description.memoryBytes);
  return Math.max(cpus, memory);
}

function share(used: number, whole: number): number {
  return whole > 0 ? used / whole : 0;
}

/** Nodes without the label are one zone. */
export function zoneOf({ node }: NodeLoad): string {
  return node.spec.Labels?.[ZONE_LABEL] ?? '';
}
