import { type Membership, restoreMembership } from './conf-change.ts';
import type { Config, Logger, Settings } from './config.ts';
import { resolveConfig } from './config.ts';
import { assert, RaftError } from './error.ts';
import { RaftLog } from './log.ts';
import type { ConfState, HardState, Index, Message, NodeId } from './message.ts';
import { NONE } from './message.ts';
import { Progress } from './progress.ts';
import { ReadIndex } from './read-index.ts';
import type { RaftState, ReadState } from './ready.ts';
import { Tracker } from './tracker.ts';

/**
 * Everything one node knows. The rules that change it are in the files of the roles (follower, candidate, leader) and
 * what they share: election, replication, reads, membership, step.
 */
export class Raft {
  readonly id: NodeId;
  readonly settings: Settings;
  readonly logger: Logger | undefined;
  readonly log: RaftLog;
  readonly tracker: Tracker;

  term = 0;
  vote: NodeId = NONE;
  lead: NodeId = NONE;
  state: RaftState = 'StateFollower';

  /** Messages that may leave at once. */
  messages: Message[] = [];
  /** Messages that must wait until everything unstable so far is durable. They may be for this node itself. */
  messagesAfterAppend: Message[] = [];
  readStates: ReadState[] = [];

  electionElapsed = 0;
  heartbeatElapsed = 0;
  randomizedElectionTimeout = 0;
  /** Ticks during which a restarted node grants no vote, because a lease it gave may still be trusted. */
  voteHoldTicks = 0;

  /** A leader hands over to this node. */
  leadTransferee: NodeId = NONE;
  /** Somebody may have been asked to campaign in this term, so a lease proves nothing any more. */
  leaseEnded = false;
  /** No configuration change behind this index; the next one may be appended when it is applied. */
  pendingConfIndex: Index = 0;
  /** The configuration came from a snapshot at this index; changes up to it are part of it. */
  confSnapshotIndex: Index = 0;
  uncommittedSize = 0;
  /** Ticks since this node became leader. */
  leaderTicks = 0;
  readIndex = new ReadIndex();
  /** Reads that wait for the first entry of this leader's term to be committed. */
  pendingReads: Message[] = [];

  constructor(config: Config) {
    const settings = resolveConfig(config);
    this.id = settings.id;
    this.settings = settings;
    this.logger = settings.logger;
    this.log = new RaftLog(settings.storage, settings.maxCommittedSizePerReady);
    const { hardState, confState } = settings.storage.initialState();
    this.tracker = new Tracker(this.membershipOf(confState));
    this.#load(hardState ?? { term: 0, vote: NONE, commit: 0 }, settings.applied);
    if (settings.readOnlyOption === 'lease-based' && this.term > 0) {
      this.voteHoldTicks = settings.electionTick;
    }
    this.becomeFollower(this.term, NONE);
  }

  get hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.committed };
  }

  /** Queues a message for another node that needs nothing durable first. */
  send(message: Message): void {
    assert(message.to !== this.id, `${message.type} to this node itself`);
    this.messages.push(message);
  }

  /** Queues a message that promises something: it leaves when all that is unstable now is durable. */
  sendAfterAppend(message: Message): void {
    this.messagesAfterAppend.push(message);
  }

  membershipOf(config: ConfState): Membership {
    return restoreMembership(config, this.makeProgress);
  }

  readonly makeProgress = (id: NodeId, isLearner: boolean): Progress => {
    const member = { id, isLearner, next: Math.max(this.log.lastIndex(), 1) };
    const progress = Progress.create(member, this.settings);
    // A new member counts as heard from, or the check of the quorum may end a leader that just added it.
    progress.recentActive = true;
    return progress;
  };

  becomeFollower(term: number, lead: NodeId): void {
    this.reset(term);
    this.lead = lead;
    this.state = 'StateFollower';
    this.logger?.info(`${this.id} became follower at term ${term}`);
  }

  /** Starts over in `term`: nothing of what belonged to the old role is left. */
  reset(term: number): void {
    if (this.term !== term) {
      assert(term > this.term, `term ${term} would follow ${this.term}`);
      if (!Number.isSafeInteger(term)) throw new RaftError('ErrIndexRange');
      this.term = term;
      this.vote = NONE;
    }
    this.lead = NONE;
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    this.#drawElectionTimeout();
    this.leadTransferee = NONE;
    this.leaseEnded = false;
    this.leaderTicks = 0;
    this.pendingConfIndex = 0;
    this.uncommittedSize = 0;
    this.readIndex = new ReadIndex();
    this.pendingReads = [];
    this.tracker.resetVotes();
    this.#resetProgress();
  }

  /** Whether this node may become leader: a voter that is not in the middle of receiving a snapshot. */
  promotable(): boolean {
    const progress = this.tracker.progress(this.id);
    return progress !== undefined && !progress.isLearner && this.log.unstable.snapshot === null;
  }

  /** Whether an entry of the current term is committed, so that the commit index is known to be up to date. */
  committedInTerm(): boolean {
    return this.log.term(this.log.committed) === this.term;
  }

  #resetProgress(): void {
    const last = this.log.lastIndex();
    const progress = new Map<NodeId, Progress>();
    for (const { id, isLearner } of this.tracker.members) {
      const fresh = Progress.create({ id, isLearner, next: last + 1 }, this.settings);
      if (id === this.id) fresh.match = last;
      progress.set(id, fresh);
    }
    this.tracker.membership = { config: this.tracker.config, progress };
  }

  #drawElectionTimeout(): void {
    const { electionTick } = this.settings;
    this.randomizedElectionTimeout =
      electionTick + Math.floor(this.settings.random() * electionTick);
  }

  /**
   * Applied entries were committed, also when the commit index that said so was lost: it is not synced for its own
   * sake.
   */
  #load(state: HardState, applied: Index): void {
    const last = this.log.lastIndex();
    const committed = Math.max(this.log.committed, state.commit, applied);
    if (committed > last) {
      throw new RaftError('ErrCorrupt', `committed ${committed}, but the log ends at ${last}`);
    }
    this.term = state.term;
    this.vote = state.vote;
    this.log.committed = committed;
    this.log.appliedTo(Math.max(this.log.applied, applied), 0);
  }
}
