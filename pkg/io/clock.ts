import type { InstantMs } from '../model/index.ts';

/** Time, passed in at `cmd/*` and replaced by a virtual one in simulation. */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. */
  now(): InstantMs;
  /** Milliseconds that never run backwards, from an arbitrary start. */
  monotonicMs(): number;
  /**
   * Call `action` once after `delayMs`, or after all that waits in this turn of the event loop where that is not more
   * than zero; disposing the timer cancels it.
   */
  after(delayMs: number, action: () => void): Timer;
}

export interface Timer extends Disposable {
  cancel(): void;
}

export const systemClock: Clock = {
  now: () => Date.now() as InstantMs,
  monotonicMs: () => performance.now(),
  after: (delayMs, action) => {
    // A timer of nothing takes a millisecond.
    if (delayMs <= 0) {
      const turn = setImmediate(action);
      const cancel = (): void => clearImmediate(turn);
      return { cancel, [Symbol.dispose]: cancel };
    }
    const handle = setTimeout(action, delayMs);
    const cancel = (): void => clearTimeout(handle);
    return { cancel, [Symbol.dispose]: cancel };
  },
};

/** Resolves after `delayMs`, or rejects with the signal's reason when aborted first. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
