import type { Clock } from '../io/index.ts';
import type { InstantMs } from '../model/index.ts';

/** Of each second that the time of the group is ahead of the wall clock, this part is given back. */
const SLEW = 0.05;

/**
 * The time of the group as one member tells it. It never runs backwards, whoever stamps the next entry, so it may be
 * ahead of this member's wall clock; then it goes on from there, a little slower than real time until both agree. Were it
 * to wait for the wall clock, everything with a deadline would stand still after a failover from a manager whose
 * clock was ahead.
 */
export class StoreClock {
  readonly #clock: Pick<Clock, 'now' | 'monotonicMs'>;
  #leadMs = 0;
  /** Monotonic instant at which `#leadMs` was right. */
  #sinceMs = 0;

  constructor(clock: Pick<Clock, 'now' | 'monotonicMs'>) {
    this.#clock = clock;
  }

  /** @param last the time of the newest entry: not earlier than that */
  now(last: InstantMs): InstantMs {
    const wall = this.#clock.now();
    const monotonicMs = this.#clock.monotonicMs();
    const kept = Math.max(0, this.#leadMs - SLEW * (monotonicMs - this.#sinceMs));
    this.#leadMs = Math.max(kept, last - wall);
    this.#sinceMs = monotonicMs;
    return Math.max(last, Math.trunc(wall + this.#leadMs)) as InstantMs;
  }
}
