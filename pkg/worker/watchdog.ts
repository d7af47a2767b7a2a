import type { Clock } from '../io/index.ts';
import type { AgentSession } from '../rpc/index.ts';

export interface WatchdogOptions {
  readonly session: AgentSession;
  readonly clock: Clock;
  readonly leaseTimeMs: () => number;
  /** The manager heard this node at `atMs` (`leaseTimeMs`) or later. */
  readonly known: (atMs: number) => void;
  /** The manager has been silent for so long that it may not lead any more; again with every heartbeat. */
  readonly onDoubt: () => void;
  /** … and speaks again. */
  readonly onTrust: () => void;
}

const HEARTBEAT_DEFAULT_MS = 1_000;
const DOUBT_HEARTBEATS = 1.5;
const SILENCE_HEARTBEATS = 3;
/** How long an upgrade of the agent may take before its tasks are replaced. */
const BACK_WITHIN_MS = 15_000;
const FAREWELL_MS = 500;

/** Reason of an abort when the agent ends and will be started again: the leader is told to wait for it. */
export class BackSoon extends Error {
  override readonly name = 'BackSoon';
}

/**
 * Says every heartbeat that this node lives, asks others when the manager does not answer two in a row, and gives the
 * stream up when it says nothing for three.
 */
export class Watchdog implements Disposable {
  readonly #session: AgentSession;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #options: WatchdogOptions;
  /** When each heartbeat was sent that is not answered yet; answers come in order. */
  readonly #sent: number[] = [];
  readonly #onAbort = (): void => {
    if (this.#signal.reason instanceof BackSoon && this.#beating) this.#sayAway();
    else this.#session.cancel();
  };
  #periodMs = HEARTBEAT_DEFAULT_MS;
  #heardAt: number;
  /** When the next heartbeat should go out. */
  #due = 0;
  #beating = false;
  #doubts = false;
  #timer: Disposable | undefined;

  constructor(options: WatchdogOptions, signal: AbortSignal) {
    const { session, clock } = options;
    this.#options = options;
    this.#session = session;
    this.#clock = clock;
    this.#signal = signal;
    this.#heardAt = clock.monotonicMs();
    signal.addEventListener('abort', this.#onAbort, { once: true });
    if (signal.aborted) session.cancel();
    this.#schedule();
  }

  heard(): void {
    this.#heardAt = this.#clock.monotonicMs();
    if (!this.#doubts) return;
    this.#doubts = false;
    this.#options.onTrust();
  }

  /** Counted from when the question was sent: the leader heard it after that. */
  answered(): void {
    const at = this.#sent.shift();
    if (at !== undefined) this.#options.known(at);
  }

  beatEvery(periodMs: number): void {
    this.#periodMs = periodMs;
    this.#beating = true;
    this.#timer?.[Symbol.dispose]();
    this.#tick();
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#session.cancel();
  }

  /** The manager ends its side when it has read it. */
  #sayAway(): void {
    this.#timer?.[Symbol.dispose]();
    this.#session.send({ kind: 'away', backWithinMs: BACK_WITHIN_MS });
    this.#session.end();
    this.#timer = this.#clock.after(FAREWELL_MS, () => this.#session.cancel());
  }

  #schedule(): void {
    this.#due = this.#clock.monotonicMs() + this.#periodMs;
    const timer = this.#clock.after(this.#periodMs, () => {
      // After a time without a processor, what the manager said meanwhile is read before it counts as silent.
      setImmediate(() => {
        if (this.#timer === timer) this.#tick();
      });
    });
    this.#timer = timer;
  }

  #tick(): void {
    const now = this.#clock.monotonicMs();
    // The manager answers heartbeats: while this process stood still and sent none, it had nothing to say.
    if (now - this.#due > this.#periodMs) this.#heardAt = now;
    const silentMs = now - this.#heardAt;
    if (silentMs > this.#periodMs * SILENCE_HEARTBEATS) {
      this.#session.cancel();
      return;
    }
    if (this.#beating) {
      this.#doubts = silentMs > this.#periodMs * DOUBT_HEARTBEATS;
      if (this.#doubts) this.#options.onDoubt();
      this.#sent.push(this.#options.leaseTimeMs());
      this.#session.send({ kind: 'heartbeat' });
    }
    this.#schedule();
  }
}
