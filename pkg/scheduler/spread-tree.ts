import { compareText } from '../model/index.ts';
import { Heap } from './heap.ts';
import type { NodeLoad } from './node-load.ts';
import { spreadValue } from './preference.ts';
import { compareRanks, type Rank, type Ranking } from './ranking.ts';

/**
 * The nodes that may take a task, ordered for taking: branches by the spread preferences, the one with the fewest
 * tasks of the service first; within a branch as the ranking says.
 */
export class SpreadTree {
  readonly #keys: readonly string[];
  readonly #ranking: Ranking;
  readonly #branches = new Map<string, SpreadTree>();
  readonly #nodes = new Heap<Rank>(compareRanks);
  #serviceTasks = 0;

  constructor(keys: readonly string[], ranking: Ranking) {
    this.#keys = keys;
    this.#ranking = ranking;
  }

  add(load: NodeLoad): void {
    this.#serviceTasks += this.#ranking.tasksOf(load);
    const [key, ...rest] = this.#keys;
    if (key === undefined) {
      this.#nodes.push(this.#ranking.rank(load));
      return;
    }
    const value = spreadValue(load.node, key);
    const branch = this.#branches.get(value) ?? new SpreadTree(rest, this.#ranking);
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
    for (let best = this.#nodes.pop(); best; best = this.#nodes.pop()) {
      const now = this.#ranking.rank(best.load);
      // What was placed elsewhere since may have made this node worse (its zone is fuller).
      if (compareRanks(now, best) > 0) {
        this.#nodes.push(now);
        continue;
      }
      if (!place(best.load)) continue;
      this.#ranking.placed(best.load);
      this.#nodes.push(this.#ranking.rank(best.load));
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
