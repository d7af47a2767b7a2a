import { hup } from './election.ts';
import { RaftError } from './error.ts';
import type { Message, Snapshot } from './message.ts';
import { BLANK, NONE } from './message.ts';
import type { Raft } from './raft.ts';

export function stepFollower(r: Raft, m: Message): void {
  switch (m.type) {
    case 'MsgApp':
    case 'MsgHeartbeat':
    case 'MsgSnap':
      r.electionElapsed = 0;
      r.lead = m.from;
      followLeader(r, m);
      break;
    case 'MsgProp':
      if (r.lead === NONE || r.settings.disableProposalForwarding) {
        throw new RaftError('ErrProposalDropped');
      }
      forward(r, m);
      break;
    case 'MsgTransferLeader':
    case 'MsgReadIndex':
      if (r.lead !== NONE) forward(r, m);
      break;
    case 'MsgReadIndexResp':
      if (m.context !== undefined) {
        r.readStates.push({ index: m.index ?? 0, requestCtx: m.context });
      }
      break;
    case 'MsgTimeoutNow':
      // Without asking first: the leader wants it, so this is no node coming back from a partition.
      hup(r, true);
      break;
    case 'MsgForgetLeader':
      // With lease-based reads the leader relies on not being forgotten.
      if (r.settings.readOnlyOption === 'safe') r.lead = NONE;
      break;
    default:
  }
}

/** Handles what the leader of this term sent. */
export function followLeader(r: Raft, m: Message): void {
  if (m.type === 'MsgApp') appendEntries(r, m);
  else if (m.type === 'MsgSnap') installSnapshot(r, m);
  else {
    r.log.commitTo(m.commit ?? 0);
    const { term, context } = { term: r.term, context: m.context };
    r.send({ ...BLANK, type: 'MsgHeartbeatResp', from: r.id, to: m.from, term, context });
  }
}

function forward(r: Raft, m: Message): void {
  r.send({ ...m, to: r.lead, from: m.from === NONE ? r.id : m.from });
}

function appendEntries(r: Raft, m: Message): void {
  const answer = { ...BLANK, type: 'MsgAppResp', from: r.id, to: m.from, term: r.term } as const;
  const previous = { index: m.index ?? 0, term: m.logTerm ?? 0 };
  const entries = m.entries ?? [];
  if (previous.index < r.log.committed) {
    r.sendAfterAppend({ ...answer, index: r.log.committed });
    return;
  }
  if (r.log.tryAppend(previous, entries)) {
    const last = previous.index + entries.length;
    r.log.commitTo(Math.min(m.commit ?? 0, last));
    r.sendAfterAppend({ ...answer, index: last });
    return;
  }
  // Entries here with a later term than the leader's at that index cannot agree with it: skip all of them at once.
  const end = Math.min(previous.index, r.log.lastIndex());
  const hint = r.log.lastNotAfter(end, previous.term);
  r.sendAfterAppend({
    ...answer,
    index: previous.index,
    reject: true,
    rejectHint: hint.index,
    logTerm: hint.term,
  });
}

function installSnapshot(r: Raft, m: Message): void {
  const installed = m.snapshot != null && restore(r, m.snapshot);
  const index = installed ? r.log.lastIndex() : r.log.committed;
  r.sendAfterAppend({ ...BLANK, type: 'MsgAppResp', from: r.id, to: m.from, term: r.term, index });
}

/** Replaces log and configuration by the snapshot. False when it is of no use. */
function restore(r: Raft, snapshot: Snapshot): boolean {
  if (snapshot.index <= r.log.committed) return false;
  const { voters, learners, votersOutgoing } = snapshot.confState;
  if (![...voters, ...learners, ...votersOutgoing].includes(r.id)) {
    r.logger?.warn(`${r.id} is not in the snapshot at ${snapshot.index}; ignored`);
    return false;
  }
  if (r.log.matches(snapshot.index, snapshot.term)) {
    // The entries are all here; it only was not known that they are committed.
    r.log.commitTo(snapshot.index);
    return false;
  }
  r.log.restore(snapshot);
  r.confSnapshotIndex = snapshot.index;
  r.tracker.membership = r.membershipOf(snapshot.confState);
  r.logger?.info(`${r.id} restored snapshot at ${snapshot.index}`);
  return true;
}
