import type { Clock, Random } from '../io/index.ts';
import type { Tuning } from './contract.ts';
import type { Leadership } from './leadership.ts';
import type { Peers } from './peers.ts';
import type { Replica } from './replica.ts';

export interface SuspicionOptions {
  readonly selfId: number;
  readonly leadership: Leadership;
  readonly peers: Peers;
  readonly replica: () => Replica;
  readonly clock: Clock;
  readonly random: Random;
  readonly tuning: Tuning;
}

/** Silence, after the connection broke, until the leader is given up; a restarted connection is quicker. */
const SILENT_TICKS = 3;
/** Between two tries; drawn anew each time so that two members do not go on splitting the votes. */
const RETRY_TICKS = 4;
/** In place of the leader when none is known yet. */
const NOBODY = -1;

/**
 * A leader whose process died is known to be gone as soon as its connection breaks: waiting for the election timeout
 * would only make the gap longer. After a start no leader is known at all, and when all were started at once there is
 * none. Nothing is risked: this only asks (pre-vote), and a member that still hears from a leader says no.
 */
export class Suspicion {
  readonly #options: SuspicionOptions;
  #suspect = 0;
  #since = 0;
  #campaignAt = 0;

  constructor(options: SuspicionOptions) {
    this.#options = options;
  }

  /** This member begins; a voter need not wait for the timeout until it asks who leads. */
  started(): void {
    const { replica, selfId, random, tuning } = this.#options;
    if (!replica().confState.voters.includes(selfId)) return;
    this.#suspects(NOBODY);
    this.#campaignAt += random.float() * RETRY_TICKS * tuning.tickMs;
  }

  /** The connection to this member broke. */
  lost(raftId: number): void {
    if (raftId === this.#options.leadership.lead && raftId !== this.#suspect)
      this.#suspects(raftId);
  }

  #suspects(raftId: number): void {
    const { clock, tuning } = this.#options;
    this.#suspect = raftId;
    this.#since = clock.monotonicMs();
    this.#campaignAt = this.#since + SILENT_TICKS * tuning.tickMs;
  }

  /** To be called with every tick. */
  tick(): void {
    if (this.#suspect === 0) return;
    const { leadership, clock, tuning, random, replica } = this.#options;
    const now = clock.monotonicMs();
    const silent = now - this.#since;
    if (this.#isOver(silent)) {
      this.#suspect = 0;
      return;
    }
    if (now < this.#campaignAt) return;
    this.#campaignAt = now + (1 + random.float()) * RETRY_TICKS * tuning.tickMs;
    if (leadership.lead === this.#suspect) {
      replica().forgetLeader();
      // The others need as long to notice; whoever asks first should not be refused.
      this.#campaignAt = now + random.float() * RETRY_TICKS * tuning.tickMs;
    } else {
      replica().campaign();
    }
  }

  /** Heard from again, replaced, or it is time for the election timeout to do its work. */
  #isOver(silentMs: number): boolean {
    const { leadership, peers, tuning } = this.#options;
    const { lead, elected } = leadership;
    const replaced = elected || (lead !== 0 && lead !== this.#suspect);
    const late = silentMs > 2 * tuning.electionTicks * tuning.tickMs;
    return replaced || late || peers.heardWithin(this.#suspect, silentMs);
  }
}
