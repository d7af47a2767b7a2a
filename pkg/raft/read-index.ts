import { type Index, type Message, NONE, type NodeId } from './message.ts';
import { type JointVoters, jointCommitted } from './quorum/joint.ts';

/** A read that waits until a quorum confirms that this node still leads. */
export interface WaitingRead {
  readonly request: Message;
  /** The commit index when the read arrived: what the reader has to see. */
  readonly index: Index;
  readonly round: number;
}

const ROUND_BYTES = 6;

/**
 * Rounds of heartbeats that confirm leadership. Each heartbeat names the newest round; whoever answers it confirms all
 * rounds up to it. A round begins after the reads that wait for it arrived, so its confirmation comes from later.
 */
export class ReadIndex {
  #round = 0;
  readonly #acked = new Map<NodeId, number>();
  readonly #waiting: WaitingRead[] = [];
  /** Ticks at which the rounds not confirmed yet began, for lease-based reads. */
  readonly #begun: { round: number; tick: number }[] = [];
  #leaseTick = Number.NEGATIVE_INFINITY;

  /** Adds a read to a new round. */
  wait(request: Message, index: Index): void {
    this.#round++;
    this.#waiting.push({ request, index, round: this.#round });
  }

  /** Begins a round at `tick` that nobody waits for, to renew the lease. */
  beginLeaseRound(tick: number): void {
    this.#round++;
    this.#begun.push({ round: this.#round, tick });
  }

  /** What confirmed the lease was a quorum of another configuration. The next heartbeats begin a new one. */
  endLease(): void {
    this.#leaseTick = Number.NEGATIVE_INFINITY;
    this.#begun.length = 0;
  }

  /** What a heartbeat has to carry; undefined when no round is open. */
  heartbeatContext(): Uint8Array | undefined {
    if (this.#waiting.length === 0 && this.#begun.length === 0) return undefined;
    const context = new Uint8Array(ROUND_BYTES);
    let rest = this.#round;
    for (let i = ROUND_BYTES - 1; i >= 0; i--) {
      context[i] = rest % 256;
      rest = Math.floor(rest / 256);
    }
    return context;
  }

  /** The leader confirms its own newest round. */
  acknowledgeSelf(id: NodeId): void {
    this.#acked.set(id, this.#round);
  }

  /** A member answered a heartbeat with this context. */
  acknowledge(from: NodeId, context: Uint8Array): void {
    let round = 0;
    for (const byte of context) round = round * 256 + byte;
    this.#acked.set(from, Math.max(this.#acked.get(from) ?? 0, round));
  }

  /** Takes out the reads whose round a quorum has confirmed. */
  takeConfirmed(voters: JointVoters): readonly WaitingRead[] {
    const confirmed = jointCommitted(voters, (id) => this.#acked.get(id));
    while (this.#begun[0] !== undefined && this.#begun[0].round <= confirmed) {
      this.#leaseTick = this.#begun[0].tick;
      this.#begun.shift();
    }
    const open = this.#waiting.findIndex((read) => read.round > confirmed);
    const count = open < 0 ? this.#waiting.length : open;
    return this.#waiting.splice(0, count);
  }

  /**
   * Whether at `tick` no other node can have been elected: a quorum answered a heartbeat that left less than
   * `electionTick - 1` ticks ago. The missing tick is the phase between two clocks.
   */
  leaseHolds(tick: number, electionTick: number): boolean {
    return tick - this.#leaseTick < electionTick - 1;
  }
}

/** Whether a read came from this node itself, not forwarded by another. */
export function isOwnRead(request: Message, id: NodeId): boolean {
  return request.from === NONE || request.from === id;
}
