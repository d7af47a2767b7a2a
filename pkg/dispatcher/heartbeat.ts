import type { Clock, Timer } from '../io/index.ts';
import type { NodeId } from '../model/index.ts';

export interface HeartbeatOptions {
  readonly clock: Clock;
  /** A node that was silent for longer is lost. */
  readonly graceMs: number;
  /** The process of its agent at the other end of the open stream, whatever came by it. */
  readonly agentRun: (nodeId: NodeId) => string | undefined;
  readonly onLost: (nodes: readonly NodeId[]) => void;
}

/** More nodes than this, and than this part of all, are not lost one by one: what fails is more likely between us. */
const MANY = 2;
const MANY_OF = 4;
/** So many grace periods are waited then. */
const PATIENCE = 5;
const LOOKS_PER_GRACE = 60;
/** Of a new leader: nodes that it has not heard yet are not lost while others arrive, for so many grace periods at most. */
const ARRIVING = 20;
/** The longest pause between two arrivals: a third of a grace period, and this for each that came. Milliseconds. */
const ARRIVAL_MS = 10;
/** So many grace periods long a node that was lost by mistake gets more time. */
const MISTAKE_COUNTS = 100;

/**
 * When each node was last heard, and who has been silent for too long. One timer for all of them. While more than a
 * quarter are silent, or were lost a moment ago, the others get more time: giving them up would move their tasks to the
 * few that are left, and a cluster that is short of processors would lose those too. For some minutes a node gets more
 * time, too, that was lost with its stream open and of which the same process came back at once: it was there all along, and
 * its tasks moved in vain. A machine that was started anew was really lost. Nodes that a new leader has not heard
 * yet stand in a queue at its door while others arrive: each has to show its certificate first.
 */
export class Heartbeats {
  readonly #options: HeartbeatOptions;
  readonly #heard = new Map<NodeId, number>();
  /** Not heard since they were lost; the last few moments only. */
  readonly #lost = new Map<
    NodeId,
    { readonly at: number; readonly agentRun: string | undefined }
  >();
  /** When nodes came back that had been lost by mistake. */
  readonly #mistaken = new Map<NodeId, number>();
  /** Not heard yet since this manager leads. */
  readonly #awaited = new Set<NodeId>();
  #beganAt = 0;
  #arrivals = 0;
  #arrivedAt = 0;
  #timer: Timer | undefined;
  #due = 0;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /** This manager leads from now on, and has heard none of these nodes. Each gets a whole grace period. */
  begin(nodes: readonly NodeId[]): void {
    this.#beganAt = this.#options.clock.monotonicMs();
    this.#arrivals = 0;
    this.#arrivedAt = this.#beganAt;
    for (const nodeId of nodes) {
      this.#heard.set(nodeId, this.#beganAt);
      this.#awaited.add(nodeId);
    }
    if (!this.#timer) this.#schedule();
  }

  /** The host of a node that this manager waits for is gone, and was so before this manager led. */
  wasLastHeard(nodeId: NodeId, at: number): void {
    if (!this.#awaited.delete(nodeId)) return;
    this.#heard.set(nodeId, Math.min(at, this.#heard.get(nodeId) ?? at));
    this.#timer?.cancel();
    this.#schedule();
  }

  /**
   * The node was heard now, or gets a whole grace period from now on.
   * @param awayMs it said that it will be silent for so long
   */
  beat(nodeId: NodeId, awayMs = 0): void {
    const now = this.#options.clock.monotonicMs();
    this.#heard.set(nodeId, now + awayMs);
    if (this.#awaited.delete(nodeId)) {
      this.#arrivals += 1;
      this.#arrivedAt = now;
    }
    if (this.#wasMistaken(nodeId, now)) this.#mistaken.set(nodeId, now);
    this.#lost.delete(nodeId);
    if (!this.#timer) this.#schedule();
  }

  /** The node was removed or is known to be down. */
  forget(nodeId: NodeId): void {
    this.#heard.delete(nodeId);
    this.#lost.delete(nodeId);
    this.#mistaken.delete(nodeId);
    this.#awaited.delete(nodeId);
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
    this.#awaited.clear();
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
    const { clock, graceMs, agentRun, onLost } = this.#options;
    if (!this.#timer) return;
    const now = clock.monotonicMs();
    if (now - this.#due > graceMs / 2) {
      // This process stood still; heartbeats may be waiting unread. Nobody is judged by our own absence.
      for (const nodeId of this.#heard.keys()) this.#heard.set(nodeId, now);
    }
    const many = this.#manySilent(now);
    const arriving = this.#areArriving(now);
    const isLost = ([nodeId, at]: readonly [NodeId, number]): boolean =>
      now - at >= (many || this.#isSlow(nodeId, now) ? graceMs * PATIENCE : graceMs) &&
      !(arriving && this.#awaited.has(nodeId));
    const lost = [...this.#heard].filter(isLost).map(([id]) => id);
    for (const nodeId of lost) {
      this.#heard.delete(nodeId);
      this.#awaited.delete(nodeId);
      this.#lost.set(nodeId, { at: now, agentRun: agentRun(nodeId) });
    }
    this.#schedule();
    if (lost.length > 0) onLost(lost);
  }

  #wasMistaken(nodeId: NodeId, now: number): boolean {
    const { graceMs, agentRun } = this.#options;
    const lost = this.#lost.get(nodeId);
    if (lost?.agentRun === undefined || now - lost.at > graceMs * PATIENCE) return false;
    return lost.agentRun === agentRun(nodeId);
  }

  #isSlow(nodeId: NodeId, now: number): boolean {
    const at = this.#mistaken.get(nodeId);
    return at !== undefined && now - at < this.#options.graceMs * MISTAKE_COUNTS;
  }

  #areArriving(now: number): boolean {
    const { graceMs } = this.#options;
    const pauseMs = Math.min(graceMs, graceMs / 3 + ARRIVAL_MS * this.#arrivals);
    return now - this.#arrivedAt < pauseMs && now - this.#beganAt < graceMs * ARRIVING;
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
