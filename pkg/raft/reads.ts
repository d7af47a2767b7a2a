import { isVoter } from './conf-change.ts';
import { BLANK, type Index, type Message } from './message.ts';
import type { Raft } from './raft.ts';
import { isOwnRead } from './read-index.ts';
import { broadcastHeartbeat } from './replication.ts';

/** Handles MsgReadIndex on the leader. */
export function requestRead(r: Raft, m: Message): void {
  // Before the first commit of this term the commit index may be older than what an earlier leader acknowledged.
  if (!r.committedInTerm()) {
    r.pendingReads.push(m);
    return;
  }
  startRead(r, m);
}

/** An entry of this term is committed: the reads that came before it can start. */
export function releasePendingReads(r: Raft): void {
  if (r.pendingReads.length === 0 || !r.committedInTerm()) return;
  const reads = r.pendingReads;
  r.pendingReads = [];
  for (const read of reads) startRead(r, read);
}

/** A member answered a heartbeat of a read index round. */
export function confirmReads(r: Raft, m: Message): void {
  if (m.context === undefined || m.context.length === 0) return;
  r.readIndex.acknowledge(m.from, m.context);
  answerConfirmed(r);
}

/** Answers the reads whose round a quorum has confirmed, for example because the quorum became smaller. */
export function answerConfirmed(r: Raft): void {
  for (const read of r.readIndex.takeConfirmed(r.tracker.config)) {
    answerRead(r, read.request, read.index);
  }
}

function startRead(r: Raft, m: Message): void {
  // The only voter needs nobody's confirmation; a leader that was removed is not that voter.
  if (r.tracker.isOnlyVoter(r.id) || mayTrustLease(r)) {
    answerRead(r, m, r.log.committed);
    return;
  }
  r.readIndex.wait(m, r.log.committed);
  r.readIndex.acknowledgeSelf(r.id);
  broadcastHeartbeat(r);
}

function mayTrustLease(r: Raft): boolean {
  const { readOnlyOption, electionTick } = r.settings;
  if (readOnlyOption !== 'lease-based' || r.leaseEnded) return false;
  // A leader that is no voter any more stands in no quorum: the others need not wait for it.
  if (!isVoter(r.tracker.config, r.id)) return false;
  return r.readIndex.leaseHolds(r.leaderTicks, electionTick);
}

function answerRead(r: Raft, request: Message, index: Index): void {
  const context = request.context ?? new Uint8Array(0);
  if (isOwnRead(request, r.id)) {
    r.readStates.push({ index, requestCtx: context });
    return;
  }
  const to = request.from;
  r.send({ ...BLANK, type: 'MsgReadIndexResp', from: r.id, to, term: r.term, index, context });
}
