import { compareText } from '../model/index.ts';
import { Heap } from './heap.ts';
import type { NodeLoad } from './node-load.ts';
import { spreadValue } from './preference.ts';
import { compareRanks, type Rank, type Ranking, zoneOf } from './ranking.ts';

/**
 * The nodes that may take a task, ordered for taking: branches by the spread preferences, the one with the fewest
 * tasks of the service first; within a branch as the ranking says.
 */
export class SpreadTree {
  readonly #keys: readonly string[];
  readonly #ranking: Ranking;
  readonly #branches = new Map<string, SpreadTree>();
  /** One heap a zone: a task more in a zone changes the rank of all its nodes, but not their order. */
  readonly #zones = new Map<string, Heap<Rank>>();
  #serviceTasks = 0;

  constructor(keys: readonly string[], ranking: Ranking) {
    this.#keys = keys;
    this.#ranking = ranking;
  }

  add(load: NodeLoad): void {
    this.#serviceTasks += this.#ranking.tasksOf(load);
    const [key, ...rest] = this.#keys;
    if (key === undefined) {
      const zone = this.#zones.get(zoneOf(load)) ?? new Heap<Rank>(compareRanks);
      this.#zones.set(zoneOf(load), zone);
      zone.push(this.#ranking.rank(load));
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
    for (let zone = this.#bestZone(); zone; zone = this.#bestZone()) {
      const best = zone.pop();
      if (!best || !place(best.load)) continue;
      this.#ranking.placed(best.load);
      zone.push(this.#ranking.rank(best.load));
      return true;
    }
    return false;
  }

  #bestZone(): Heap<Rank> | undefined {
    if (this.#zones.size === 1) {
      const [only] = this.#zones.values();
      return only?.peek() && only;
    }
    let found: { readonly zone: Heap<Rank>; readonly head: Rank } | undefined;
    for (const zone of this.#zones.values()) {
      const first = zone.peek();
      if (!first) continue;
      const head = this.#ranking.withZone(first);
      if (!found || compareRanks(head, found.head) < 0) found = { zone, head };
    }
    return found?.zone;
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
