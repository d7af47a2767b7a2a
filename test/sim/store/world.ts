import type { Timer } from '../../../pkg/io/index.ts';
import { Random } from '../raft/random.ts';

interface Event {
  readonly at: number;
  readonly order: number;
  readonly action: () => void;
}

/** Turns of the real event loop without anything happening until a step counts as over. */
const QUIET_TURNS = 2;

/**
 * Virtual time for one process. Nothing waits for the real clock: the next event comes as soon as all that the last one
 * caused (promises, immediates) has run. With one thread and one source of randomness a seed gives one run.
 */
export class World {
  readonly random: Random;
  readonly #heap: Event[] = [];
  #now = 0;
  #order = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  /** Virtual milliseconds. */
  get now(): number {
    return this.#now;
  }

  after(delayMs: number, action: () => void): Timer {
    let wanted = true;
    const run = (): void => {
      if (wanted) action();
    };
    this.#push({ at: this.#now + Math.max(0, delayMs), order: this.#order++, action: run });
    const cancel = (): void => {
      wanted = false;
    };
    return { cancel, [Symbol.dispose]: cancel };
  }

  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, resolve));
  }

  /** Plays events until the condition holds. @returns false when it did not within `limitMs` of virtual time */
  async play(limitMs: number, until: () => boolean, afterEach: () => void): Promise<boolean> {
    const end = this.#now + limitMs;
    await this.#settle();
    while (!until()) {
      const next = this.#pop(end);
      if (next === undefined) {
        this.#now = end;
        return false;
      }
      this.#now = next.at;
      next.action();
      await this.#settle();
      afterEach();
    }
    return true;
  }

  /** Until a few turns of the event loop asked for no new event: what an event causes is short chains of these. */
  async #settle(): Promise<void> {
    let seen = -1;
    for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
      if (seen !== this.#order) {
        seen = this.#order;
        quiet = 0;
      }
      await new Promise<void>((resolve) => void setImmediate(resolve));
    }
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    for (let up = (at - 1) >> 1; at > 0 && this.#isBefore(at, up); up = (at - 1) >> 1) {
      this.#swap(at, up);
      at = up;
    }
  }

  #pop(end: number): Event | undefined {
    const heap = this.#heap;
    const [first] = heap;
    if (first === undefined || first.at > end) return undefined;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    heap[0] = last;
    for (let at = 0; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      let least = at;
      if (this.#isBefore(left, least)) least = left;
      if (this.#isBefore(right, least)) least = right;
      if (least === at) return first;
      this.#swap(at, least);
      at = least;
    }
  }

  #isBefore(left: number, right: number): boolean {
    const [one, other] = [this.#heap[left], this.#heap[right]];
    if (one === undefined || other === undefined) return false;
    return one.at < other.at || (one.at === other.at && one.order < other.order);
  }

  #swap(left: number, right: number): void {
    const [one, other] = [this.#heap[left], this.#heap[right]];
    if (one === undefined || other === undefined) return;
    this.#heap[left] = other;
    this.#heap[right] = one;
  }
}
