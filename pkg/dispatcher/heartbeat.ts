import type { Clock, Timer } from '../io/index.ts';
import type { NodeId } from '../model/index.ts';

export interface HeartbeatOptions {
  readonly clock: Clock;
  /** A node that was silent for longer is lost. */
  readonly graceMs: number;
  /** Its stream is open, whatever came by it. */
  readonly isConnected: (nodeId: NodeId) => boolean;
  readonly onLost: (nodes: readonly NodeId[]) => void;
}

/** More nodes than this, and than this part of all, are not lost one by one: what fails is more likely between us. */
const MANY = 2;
const MANY_OF = 4;
/** So many grace periods are waited then. */
const PATIENCE = 5;
const LOOKS_PER_GRACE = 60;
/** So many grace periods long a node that was lost by mistake gets more time. */
const MISTAKE_COUNTS = 100;

/**
 * When each node was last heard, and who has been silent for too long. One timer for all of them. While more than a
 * quarter are silent, or were lost a moment ago, the others get more time: giving them up would move their tasks to the
 * few that are left, and a cluster that is short of processors would lose those too. For some minutes a node gets more
 * time, too, that was lost with its stream open and came back at once: it was there all along, and its tasks moved in vain.
 */
export class Heartbeats {
  readonly #options: HeartbeatOptions;
  readonly #heard = new Map<NodeId, number>();
  /** Not heard since they were lost; the last few moments only. */
  readonly #lost = new Map<NodeId, { readonly at: number; readonly connected: boolean }>();
  /** When nodes came back that had been lost by mistake. */
  readonly #mistaken = new Map<NodeId, number>();
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
    const now = this.#options.clock.monotonicMs();
    this.#heard.set(nodeId, now + awayMs);
    if (this.#wasMistaken(nodeId, now)) this.#mistaken.set(nodeId, now);
    this.#lost.delete(nodeId);
    if (!this.#timer) this.#schedule();
  }

  /** The node was removed or is known to be down. */
  forget(nodeId: NodeId): void {
    this.#heard.delete(nodeId);
    this.#lost.delete(nodeId);
    this.#mistaken.delete(nodeId);
  }

  /** Heard within the grace period. */
  isAlive(nodeId: NodeId): boolean {
    return this.#heard.has(nodeId);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#heard.clear();
    this.#lost.clear();
    this.#mistaken.clear();
  }

  #schedule(): void {
    const { clock, graceMs } = this.#options;
    let oldest: number | undefined;
    for (const at of this.#heard.values()) if (oldest === undefined || at < oldest) oldest = at;
    if (oldest === undefined) {
      this.#timer = undefined;
      return;
    }
    // Whoever is given more time is looked at again a little later.
    this.#due = Math.max(oldest + graceMs, clock.monotonicMs() + graceMs / LOOKS_PER_GRACE);
    // This process may not have run for a while: heartbeats that wait in its sockets are read before anybody is judged.
    const judge = (): void => void setImmediate(() => this.#check());
    this.#timer = clock.after(this.#due - clock.monotonicMs(), judge);
  }

  #check(): void {
    const { clock, graceMs, isConnected, onLost } = this.#options;
    if (!this.#timer) return;
    const now = clock.monotonicMs();
    if (now - this.#due > graceMs / 2) {
      // This process stood still; heartbeats may be waiting unread. Nobody is judged by our own absence.
      for (const nodeId of this.#heard.keys()) this.#heard.set(nodeId, now);
    }
    const many = this.#manySilent(now);
    const isLost = ([nodeId, at]: readonly [NodeId, number]): boolean =>
      now - at >= (many || this.#isSlow(nodeId, now) ? graceMs * PATIENCE : graceMs);
    const lost = [...this.#heard].filter(isLost).map(([id]) => id);
    for (const nodeId of lost) {
      this.#heard.delete(nodeId);
      this.#lost.set(nodeId, { at: now, connected: isConnected(nodeId) });
    }
    this.#schedule();
    if (lost.length > 0) onLost(lost);
  }

  #wasMistaken(nodeId: NodeId, now: number): boolean {
    const lost = this.#lost.get(nodeId);
    return lost?.connected === true && now - lost.at <= this.#options.graceMs * PATIENCE;
  }

  #isSlow(nodeId: NodeId, now: number): boolean {
    const at = this.#mistaken.get(nodeId);
    return at !== undefined && now - at < this.#options.graceMs * MISTAKE_COUNTS;
  }

  /** Counts who missed a heartbeat, before the first of them is given up. */
  #manySilent(now: number): boolean {
    const { graceMs } = this.#options;
    for (const [nodeId, { at }] of this.#lost) {
      if (now - at > graceMs * PATIENCE) this.#lost.delete(nodeId);
    }
    const silent = [...this.#heard.values()].filter((at) => now - at >= graceMs / 2).length;
    const suspects = silent + this.#lost.size;
    return suspects > MANY && suspects * MANY_OF > this.#heard.size + this.#lost.size;
  }
}
