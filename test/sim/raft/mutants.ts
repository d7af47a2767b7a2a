import type { Mutant } from '../plant.ts';

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'the commit index ignores the outgoing voters',
    file: 'pkg/raft/quorum/joint.ts',
    find: 'if (config.votersOutgoing.length === 0) return incoming;',
    replace: 'return incoming;',
  },
  {
    name: 'an election ignores the outgoing voters',
    file: 'pkg/raft/quorum/joint.ts',
    find: 'majorityVote(config.votersOutgoing, votes)',
    replace: 'incoming',
  },
  {
    name: 'half of an even group is a majority',
    file: 'pkg/raft/quorum/majority.ts',
    find: 'return Math.floor(count / 2) + 1;',
    replace: 'return Math.ceil(count / 2);',
  },
  {
    name: 'votes go to a candidate with an older log',
    file: 'pkg/raft/election.ts',
    find: 'if (!free || !r.log.isUpToDate(theirs)) {',
    replace: 'if (!free) {',
  },
  {
    name: 'two votes in one term',
    file: 'pkg/raft/election.ts',
    find: 'if (!free || !r.log.isUpToDate(theirs)) {',
    replace: 'if (!r.log.isUpToDate(theirs)) {',
  },
  {
    name: 'the vote is forgotten on the way back to follower',
    file: 'pkg/raft/raft.ts',
    find: '    this.lead = NONE;\n    this.electionElapsed = 0;',
    replace: '    this.vote = NONE;\n    this.lead = NONE;\n    this.electionElapsed = 0;',
  },
  {
    name: 'campaigns with an unapplied configuration change',
    file: 'pkg/raft/election.ts',
    find: 'if (r.log.hasUnappliedConfChange()) {',
    replace: 'if (r.id === 0) {',
  },
  {
    name: 'a commit index is learned without comparing terms',
    file: 'pkg/raft/election.ts',
    find: '!r.log.matches(commit, m.hintTerm)',
    replace: 'commit > r.log.lastIndex()',
  },
  {
    name: 'an entry of an old term is committed by counting',
    file: 'pkg/raft/replication.ts',
    find: ' || !r.log.matches(index, r.term)',
    replace: '',
  },
  {
    name: 'a heartbeat carries the commit index unclamped',
    file: 'pkg/raft/replication.ts',
    find: 'Math.min(to.match, r.log.committed)',
    replace: 'r.log.committed',
  },
  {
    name: 'every append truncates the log',
    file: 'pkg/raft/log.ts',
    find: 'if (index > last || !this.matches(index, term)) break;',
    replace: 'if (index > last || term >= 0) break;',
  },
  {
    name: 'answers leave before the disk has it',
    file: 'pkg/raft/raft.ts',
    find: 'this.messagesAfterAppend.push(message);',
    replace: '(message.to === this.id ? this.messagesAfterAppend : this.messages).push(message);',
  },
  {
    name: 'a leader counts its own entry before its disk has it',
    file: 'pkg/raft/leader.ts',
    find: '  r.log.append(entries);',
    replace: '  r.log.append(entries);\n  r.tracker.progress(r.id)?.acknowledge(end);',
  },
  {
    name: 'a new vote is not synced',
    file: 'pkg/raft/raw-node.ts',
    find: 'mustSync: state.term !== before.term || state.vote !== before.vote',
    replace: 'mustSync: state.term === before.term && state.vote === 0',
  },
  {
    name: 'two configuration changes at a time',
    file: 'pkg/raft/leader.ts',
    find: 'if (r.pendingConfIndex > r.log.applied) {',
    replace: 'if (r.id === 0) {',
  },
  {
    name: 'reads before the first commit of the term',
    file: 'pkg/raft/reads.ts',
    find: 'if (!r.committedInTerm()) {\n    r.pendingReads',
    replace: 'if (r.id === 0) {\n    r.pendingReads',
  },
  {
    name: 'reads without asking a quorum',
    file: 'pkg/raft/reads.ts',
    find: 'r.tracker.isOnlyVoter(r.id) || mayTrustLease(r)',
    replace: 'r.id > 0',
  },
  {
    name: 'reads confirmed by an older round',
    file: 'pkg/raft/read-index.ts',
    find: 'index, round: this.#round }',
    replace: 'index, round: this.#round - 1 }',
  },
  {
    name: 'the only voter is asked, whoever it is',
    file: 'pkg/raft/tracker.ts',
    find: 'voters[0] === id && ',
    replace: 'id > 0 && ',
  },
  {
    name: 'an answer to a write of an older term makes entries stable',
    file: 'pkg/raft/step.ts',
    find: '    snapshotStored(r, m);\n  }',
    replace:
      '    if (m.index !== undefined) r.log.unstable.stableTo(m.index, m.logTerm ?? 0);\n    snapshotStored(r, m);\n  }',
  },
  {
    name: 'a change that is older than the snapshot is applied',
    file: 'pkg/raft/membership.ts',
    find: 'if (index <= r.confSnapshotIndex) return null;',
    replace: '',
  },
  {
    name: 'votes tell nothing about commits',
    file: 'pkg/raft/election.ts',
    find: 'return { hintCommit: r.log.committed, hintTerm: r.log.term(r.log.committed) };',
    replace: 'return { hintCommit: 0, hintTerm: 0 };',
  },
  {
    name: 'a joint configuration is left at once or never',
    file: 'pkg/raft/leader.ts',
    find: '    proposeAutoLeave(r);\n  }\n  if (r.heartbeat',
    replace: '  }\n  if (r.heartbeat',
  },
  {
    name: 'a lease survives the hand-over of leadership',
    file: 'pkg/raft/leader.ts',
    find: '  r.leaseEnded = true;\n',
    replace: '',
  },
  {
    name: 'a restarted node votes although it gave a lease',
    file: 'pkg/raft/raft.ts',
    find: 'this.voteHoldTicks = settings.electionTick;',
    replace: 'this.voteHoldTicks = 0;',
  },
  {
    name: 'entries are taken without the one before',
    file: 'pkg/raft/log.ts',
    find: 'if (!this.matches(previous.index, previous.term)) return false;',
    replace: 'if (previous.index > this.lastIndex()) return false;',
  },
  {
    name: 'logs are compared by length only',
    file: 'pkg/raft/log.ts',
    find: 'theirs.term > ours.term || (theirs.term === ours.term && theirs.index >= ours.index)',
    replace: 'theirs.index >= ours.index',
  },
  {
    name: 'a transfer campaigns over an unapplied configuration change',
    file: 'pkg/raft/election.ts',
    find: 'if (r.log.hasUnappliedConfChange()) {',
    replace: 'if (!transfer && r.log.hasUnappliedConfChange()) {',
  },
  {
    name: 'a snapshot that was lost is waited for',
    file: 'pkg/raft/replication.ts',
    find: '  member.becomeProbe();\n  // The next',
    replace: '  // The next',
  },
  {
    name: 'a lost message stops the flow to a member',
    file: 'pkg/raft/leader.ts',
    find: '  member.flowPaused = false;\n',
    replace: '',
  },
  {
    name: 'what is not committed is counted for ever',
    file: 'pkg/raft/step.ts',
    find: 'r.uncommittedSize = Math.max(0, r.uncommittedSize - payloadsSize(entries));',
    replace: 'payloadsSize(entries);',
  },
  {
    name: 'a new leader writes no entry of its own',
    file: 'pkg/raft/leader.ts',
    find: "append(r, [{ type: 'EntryNormal', data: null }])",
    replace: 'append(r, [])',
  },
  {
    name: 'a learner with a higher term is ignored for ever',
    file: 'pkg/raft/step.ts',
    find: 'const reaches = r.promotable() && r.tracker',
    replace: 'const reaches = true || r.tracker',
  },
  {
    name: 'the log is applied before it is committed',
    file: 'pkg/raft/log.ts',
    find: 'return allowUnstable ? this.committed : Math.min(this.committed, this.unstable.offset - 1);',
    replace:
      'return allowUnstable ? this.lastIndex() : Math.min(this.committed, this.unstable.offset - 1);',
  },
  {
    name: 'reads of an earlier leader are confirmed by the next',
    file: 'pkg/raft/raft.ts',
    find: '    this.readIndex = new ReadIndex();\n    this.pendingReads = [];',
    replace: '    this.pendingReads = [];',
  },
  {
    name: 'a learner campaigns',
    file: 'pkg/raft/raft.ts',
    find: 'progress !== undefined && !progress.isLearner && ',
    replace: 'progress !== undefined && ',
  },
  {
    name: 'outgoing voters that become learners are forgotten',
    file: 'pkg/raft/conf-change.ts',
    find: '      this.#learners.add(id);\n      this.#mustHave(id).isLearner = true;\n',
    replace: '      this.#mustHave(id).isLearner = true;\n',
  },
  {
    name: 'the vote is not written with the term',
    file: 'pkg/raft/storage-message.ts',
    find: 'vote: hardState?.vote,',
    replace: 'vote: undefined,',
  },
];

/** Few seeds find these. */
export const EASY: readonly string[] = [
  'half of an even group is a majority',
  'an entry of an old term is committed by counting',
  'answers leave before the disk has it',
  'the vote is forgotten on the way back to follower',
  'a heartbeat carries the commit index unclamped',
  'two votes in one term',
];
