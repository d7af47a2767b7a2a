import { RaftError } from './error.ts';
import { Inflights } from './inflights.ts';
import type { Index, NodeId } from './message.ts';
import type { ProgressState, ProgressView } from './ready.ts';

export interface ProgressLimits {
  readonly maxInflightMsgs: number;
  readonly maxInflightBytes: number;
}

/**
 * What a leader knows about the log of one member. Invariant: match < next. Entries up to `match` are known to be
 * there; `next` is the first one to send.
 *
 * Probe: one message at a time until the member confirms where the logs agree. Replicate: a window of messages, `next`
 * moves on as they leave. Snapshot: nothing until the snapshot `pendingSnapshot` is confirmed or reported as failed.
 */
export class Progress {
  readonly id: NodeId;
  isLearner: boolean;
  match: Index = 0;
  next: Index;
  state: ProgressState = 'StateProbe';
  pendingSnapshot: Index = 0;
  /** Heard from since the last check of the quorum. */
  recentActive = false;
  /** Waiting for an answer: a probe is out or the window is full. */
  flowPaused = false;
  readonly inflights: Inflights;
  /** The highest commit index sent, which the member may not have reached because its log is shorter. */
  #sentCommit: Index = 0;

  constructor(member: { id: NodeId; isLearner: boolean; next: Index }, inflights: Inflights) {
    this.id = member.id;
    this.isLearner = member.isLearner;
    this.next = member.next;
    this.inflights = inflights;
  }

  static create(
    member: { id: NodeId; isLearner: boolean; next: Index },
    limits: ProgressLimits,
  ): Progress {
    return new Progress(member, new Inflights(limits.maxInflightMsgs, limits.maxInflightBytes));
  }

  /** A copy for a configuration that may be refused; it shares the window of messages. */
  copy(): Progress {
    const copy = new Progress(this, this.inflights);
    copy.match = this.match;
    copy.state = this.state;
    copy.pendingSnapshot = this.pendingSnapshot;
    copy.recentActive = this.recentActive;
    copy.flowPaused = this.flowPaused;
    copy.#sentCommit = this.#sentCommit;
    return copy;
  }

  get paused(): boolean {
    return this.state === 'StateSnapshot' || this.flowPaused;
  }

  becomeProbe(): void {
    const base = this.state === 'StateSnapshot' ? this.pendingSnapshot : 0;
    this.#enter('StateProbe');
    this.next = Math.max(this.match, base) + 1;
    this.#clampSentCommit();
  }

  becomeReplicate(): void {
    this.#enter('StateReplicate');
    this.next = this.match + 1;
  }

  becomeSnapshot(index: Index): void {
    this.#enter('StateSnapshot');
    this.pendingSnapshot = index;
    this.next = index + 1;
    this.#sentCommit = index;
  }

  /** A MsgApp with `count` entries of `bytes` payload left, telling the member about `commit`. */
  sentEntries(count: number, bytes: number, commit: Index): void {
    if (this.state === 'StateReplicate') {
      if (count > 0) {
        this.next += count;
        this.inflights.add(this.next - 1, bytes);
      }
      this.flowPaused = this.inflights.full;
    } else if (this.state === 'StateProbe') {
      if (count > 0) this.flowPaused = true;
    } else {
      throw new RaftError('ErrInvariant', `entries sent to ${this.id}, which waits for a snapshot`);
    }
    this.#sentCommit = commit;
  }

  sentHeartbeat(commit: Index): void {
    this.#sentCommit = commit;
  }

  /** Whether another message would tell the member about a higher commit index than it has heard of. */
  canBumpCommit(commit: Index): boolean {
    return commit > this.#sentCommit && this.#sentCommit < this.next - 1;
  }

  /** The member acknowledged everything up to `index`. False when that was known. */
  acknowledge(index: Index): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.flowPaused = false;
    return true;
  }

  /**
   * The member refused a message that followed `rejected`; its log may agree at `hint`. False for an answer that is
   * out of date.
   */
  retreat(rejected: Index, hint: Index): boolean {
    if (this.state === 'StateReplicate') {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
    } else {
      if (this.next - 1 !== rejected) return false;
      this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
      this.flowPaused = false;
    }
    this.#clampSentCommit();
    return true;
  }

  view(): ProgressView {
    return {
      match: this.match,
      next: this.next,
      state: this.state,
      isLearner: this.isLearner,
      paused: this.paused,
      pendingSnapshot: this.pendingSnapshot,
      recentActive: this.recentActive,
      inflight: this.inflights.count,
      inflightFull: this.inflights.full,
    };
  }

  #enter(state: ProgressState): void {
    this.flowPaused = false;
    this.pendingSnapshot = 0;
    this.state = state;
    this.inflights.reset();
  }

  #clampSentCommit(): void {
    this.#sentCommit = Math.min(this.#sentCommit, this.next - 1);
  }
}
