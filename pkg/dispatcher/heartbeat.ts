import type { Clock, Timer } from '../io/index.ts';
import type { NodeId } from '../model/index.ts';

export interface HeartbeatOptions {
  readonly clock: Clock;
  /** A node that was silent for longer is lost. */
  readonly graceMs: number;
  readonly onLost: (nodes: readonly NodeId[]) => void;
}

/** When each node was last heard, and who has been silent for too long. One timer for all of them. */
export class Heartbeats {
  readonly #options: HeartbeatOptions;
  readonly #heard = new Map<NodeId, number>();
  #timer: Timer | undefined;
  #due = 0;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /**
   * The node was heard now, or gets a whole grace period from now on.
   * @param awayMs it said that it will be silent for so long
   */
  beat(nodeId: NodeId, awayMs = 0): void {
    this.#heard.set(nodeId, this.#options.clock.monotonicMs() + awayMs);
    if (!this.#timer) this.#schedule();
  }

  /** The node was removed or is known to be down. */
  forget(nodeId: NodeId): void {
    this.#heard.delete(nodeId);
  }

  /** Heard within the grace period. */
  isAlive(nodeId: NodeId): boolean {
    return this.#heard.has(nodeId);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#heard.clear();
  }

  #schedule(): void {
    const { clock, graceMs } = this.#options;
    let oldest: number | undefined;
    for (const at of this.#heard.values()) if (oldest === undefined || at < oldest) oldest = at;
    if (oldest === undefined) {
      this.#timer = undefined;
      return;
    }
    this.#due = oldest + graceMs;
    // This process may not have run for a while: heartbeats that wait in its sockets are read before anybody is judged.
    const judge = (): void => void setImmediate(() => this.#check());
    this.#timer = clock.after(this.#due - clock.monotonicMs(), judge);
  }

  #check(): void {
    const { clock, graceMs, onLost } = this.#options;
    if (!this.#timer) return;
    const now = clock.monotonicMs();
    if (now - this.#due > graceMs / 2) {
      // This process stood still; heartbeats may be waiting unread. Nobody is judged by our own absence.
      for (const nodeId of this.#heard.keys()) this.#heard.set(nodeId, now);
    }
    const lost = [...this.#heard].filter(([, at]) => now - at >= graceMs).map(([id]) => id);
    for (const nodeId of lost) this.#heard.delete(nodeId);
    this.#schedule();
    if (lost.length > 0) onLost(lost);
  }
}
