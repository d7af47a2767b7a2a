/** A bug planted by replacing one piece of text. The simulation is good for something if it finds every one of them. */
export interface Mutant {
  readonly name: string;
  /** Below pkg/raft. */
  readonly file: string;
  /** Must occur exactly once. */
  readonly find: string;
  readonly replace: string;
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'the commit index ignores the outgoing voters',
    file: 'quorum/joint.ts',
    find: 'if (config.votersOutgoing.length === 0) return incoming;',
    replace: 'return incoming;',
  },
  {
    name: 'an election ignores the outgoing voters',
    file: 'quorum/joint.ts',
    find: 'majorityVote(config.votersOutgoing, votes)',
    replace: 'incoming',
  },
  {
    name: 'half of an even group is a majority',
    file: 'quorum/majority.ts',
    find: 'return Math.floor(count / 2) + 1;',
    replace: 'return Math.ceil(count / 2);',
  },
  {
    name: 'votes go to a candidate with an older log',
    file: 'election.ts',
    find: 'if (!free || !r.log.isUpToDate(theirs)) {',
    replace: 'if (!free) {',
  },
  {
    name: 'two votes in one term',
    file: 'election.ts',
    find: 'if (!free || !r.log.isUpToDate(theirs)) {',
    replace: 'if (!r.log.isUpToDate(theirs)) {',
  },
  {
    name: 'the vote is forgotten on the way back to follower',
    file: 'raft.ts',
    find: '    this.lead = NONE;\n    this.electionElapsed = 0;',
    replace: '    this.vote = NONE;\n    this.lead = NONE;\n    this.electionElapsed = 0;',
  },
  {
    name: 'campaigns with an unapplied configuration change',
    file: 'election.ts',
    find: 'if (r.log.hasUnappliedConfChange()) {',
    replace: 'if (r.id === 0) {',
  },
  {
    name: 'a commit index is learned without comparing terms',
    file: 'election.ts',
    find: '!r.log.matches(commit, m.hintTerm)',
    replace: 'commit > r.log.lastIndex()',
  },
  {
    name: 'an entry of an old term is committed by counting',
    file: 'replication.ts',
    find: ' || !r.log.matches(index, r.term)',
    replace: '',
  },
  {
    name: 'a heartbeat carries the commit index unclamped',
    file: 'replication.ts',
    find: 'Math.min(to.match, r.log.committed)',
    replace: 'r.log.committed',
  },
  {
    name: 'every append truncates the log',
    file: 'log.ts',
    find: 'if (index > last || !this.matches(index, term)) break;',
    replace: 'if (index > last || term >= 0) break;',
  },
  {
    name: 'answers leave before the disk has it',
    file: 'raft.ts',
    find: 'this.messagesAfterAppend.push(message);',
    replace: '(message.to === this.id ? this.messagesAfterAppend : this.messages).push(message);',
  },
  {
    name: 'a leader counts its own entry before its disk has it',
    file: 'leader.ts',
    find: '  r.log.append(entries);',
    replace: '  r.log.append(entries);\n  r.tracker.progress(r.id)?.acknowledge(end);',
  },
  {
    name: 'a new vote is not synced',
    file: 'raw-node.ts',
    find: 'mustSync: state.term !== before.term || state.vote !== before.vote',
    replace: 'mustSync: state.term === before.term && state.vote === 0',
  },
  {
    name: 'two configuration changes at a time',
    file: 'leader.ts',
    find: 'if (r.pendingConfIndex > r.log.applied) {',
    replace: 'if (r.id === 0) {',
  },
  {
    name: 'reads before the first commit of the term',
    file: 'reads.ts',
    find: 'if (!r.committedInTerm()) {\n    r.pendingReads',
    replace: 'if (r.id === 0) {\n    r.pendingReads',
  },
  {
    name: 'reads without asking a quorum',
    file: 'reads.ts',
    find: 'r.tracker.isOnlyVoter(r.id) || mayTrustLease(r)',
    replace: 'r.id > 0',
  },
  {
    name: 'reads confirmed by an older round',
    file: 'read-index.ts',
    find: 'index, round: this.#round }',
    replace: 'index, round: this.#round - 1 }',
  },
  {
    name: 'the only voter is asked, whoever it is',
    file: 'tracker.ts',
    find: 'voters[0] === id && ',
    replace: 'id > 0 && ',
  },
];
