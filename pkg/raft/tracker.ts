import type { Membership } from './conf-change.ts';
import type { ConfState, Index, NodeId } from './message.ts';
import type { Progress } from './progress.ts';
import { jointCommitted, jointVote } from './quorum/joint.ts';
import type { VoteResult } from './quorum/majority.ts';

/** The configuration in force, the progress of its members and the votes of the running election. */
export class Tracker {
  #membership: Membership;
  readonly #votes = new Map<NodeId, boolean>();
  readonly #matchOf = (id: NodeId): Index | undefined => this.#membership.progress.get(id)?.match;

  constructor(membership: Membership) {
    this.#membership = membership;
  }

  get membership(): Membership {
    return this.#membership;
  }

  set membership(membership: Membership) {
    this.#membership = membership;
  }

  get config(): ConfState {
    return this.#membership.config;
  }

  /** Ascending by id, so that every broadcast has the same order everywhere. */
  get members(): Iterable<Progress> {
    return this.#membership.progress.values();
  }

  progress(id: NodeId): Progress | undefined {
    return this.#membership.progress.get(id);
  }

  /** All ids of both voter sets, ascending. */
  voterIds(): readonly NodeId[] {
    const { voters, votersOutgoing } = this.config;
    if (votersOutgoing.length === 0) return voters;
    return [...new Set([...voters, ...votersOutgoing])].sort((a, b) => a - b);
  }

  /** The highest index that a quorum has acknowledged. */
  committed(): Index {
    return jointCommitted(this.config, this.#matchOf);
  }

  isOnlyVoter(id: NodeId): boolean {
    const { voters, votersOutgoing } = this.config;
    return voters.length === 1 && voters[0] === id && votersOutgoing.length === 0;
  }

  quorumActive(): boolean {
    const active = new Map<NodeId, boolean>();
    for (const member of this.members) {
      if (!member.isLearner) active.set(member.id, member.recentActive);
    }
    return jointVote(this.config, active) === 'VoteWon';
  }

  resetVotes(): void {
    this.#votes.clear();
  }

  /** Counts a vote, the first one of each voter only, and says how the election stands. */
  recordVote(id: NodeId, granted: boolean): VoteResult {
    if (!this.#votes.has(id)) this.#votes.set(id, granted);
    return jointVote(this.config, this.#votes);
  }
}
