import type { Clock, Timer } from '../../io/index.ts';
import type { InstantMs } from '../../model/index.ts';

interface Waiting {
  readonly at: number;
  readonly action: () => void;
}

/** Time that passes only when it is told to. */
export class ManualClock implements Clock {
  #now = 1_000_000;
  readonly #waiting = new Set<Waiting>();

  now(): InstantMs {
    return this.#now as InstantMs;
  }

  monotonicMs(): number {
    return this.#now;
  }

  after(delayMs: number, action: () => void): Timer {
    const waiting = { at: this.#now + delayMs, action };
    this.#waiting.add(waiting);
    const cancel = (): void => void this.#waiting.delete(waiting);
    return { cancel, [Symbol.dispose]: cancel };
  }

  /** Lets `ms` pass; what is due runs, in turns of the event loop of its own. */
  async advance(ms: number): Promise<void> {
    this.#now += ms;
    for (const waiting of [...this.#waiting]) {
      if (waiting.at > this.#now || !this.#waiting.delete(waiting)) continue;
      waiting.action();
    }
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Lets time pass in steps until something is so. */
  async until(condition: () => boolean, stepMs = 10): Promise<void> {
    for (let steps = 0; !condition(); steps++) {
      if (steps > 20_000) throw new Error(`did not happen: ${condition}`);
      await this.advance(stepMs);
    }
  }
}
