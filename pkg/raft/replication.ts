import { BLANK, type Index, type NodeId, payloadsSize } from './message.ts';
import type { Progress } from './progress.ts';
import type { Raft } from './raft.ts';

/** Brings `to` further: entries, or only the commit index, or a snapshot. */
export function sendAppend(r: Raft, to: Progress): void {
  trySendAppend(r, to, true);
}

/** As sendAppend, but without entries only if `evenIfEmpty`. True when something was sent. */
export function trySendAppend(r: Raft, to: Progress, evenIfEmpty: boolean): boolean {
  if (to.paused) return false;
  const index = to.next - 1;
  const logTerm = r.log.term(index);
  if (logTerm === undefined) return trySendSnapshot(r, to);
  // With a full window an empty message still goes out: its answer frees the window if the others were lost.
  const full = to.state === 'StateReplicate' && to.inflights.full;
  const entries = full ? [] : r.log.entries(to.next, r.settings.maxSizePerMsg);
  if (entries === undefined) return trySendSnapshot(r, to);
  if (entries.length === 0 && !evenIfEmpty) return false;
  const commit = r.log.committed;
  r.send({
    ...BLANK,
    type: 'MsgApp',
    from: r.id,
    to: to.id,
    term: r.term,
    logTerm,
    index,
    entries,
    commit,
  });
  to.sentEntries(entries.length, payloadsSize(entries), commit);
  return true;
}

/** Tells `to` that this node leads, with the commit index as far as `to` is known to have the entries. */
function sendHeartbeat(r: Raft, to: Progress, context: Uint8Array | undefined): void {
  const commit = Math.min(to.match, r.log.committed);
  r.send({ ...BLANK, type: 'MsgHeartbeat', from: r.id, to: to.id, term: r.term, commit, context });
  to.sentHeartbeat(commit);
}

export function broadcastAppend(r: Raft): void {
  for (const member of r.tracker.members) {
    if (member.id !== r.id) sendAppend(r, member);
  }
}

export function broadcastHeartbeat(r: Raft): void {
  const context = r.readIndex.heartbeatContext();
  for (const member of r.tracker.members) {
    if (member.id !== r.id) sendHeartbeat(r, member, context);
  }
}

/**
 * Commits what a quorum has, but only up to an entry of this term: an older one may still be replaced (Raft paper,
 * figure 8). True when the commit index moved.
 */
export function tryCommit(r: Raft): boolean {
  const index: Index = r.tracker.committed();
  if (index <= r.log.committed || !r.log.matches(index, r.term)) return false;
  r.log.commitTo(index);
  return true;
}

/** Ask `to` to campaign at once. From now on it can win although followers still hear from this leader. */
export function sendTimeoutNow(r: Raft, to: NodeId): void {
  r.send({ ...BLANK, type: 'MsgTimeoutNow', from: r.id, to, term: r.term });
}

/** The transport failed to deliver to `id`. */
export function reportUnreachable(r: Raft, id: NodeId): void {
  const member = r.state === 'StateLeader' ? r.tracker.progress(id) : undefined;
  if (member?.state === 'StateReplicate') member.becomeProbe();
}

/** The transport delivered a snapshot to `id`, or gave up. */
export function reportSnapshot(r: Raft, id: NodeId, ok: boolean): void {
  const member = r.state === 'StateLeader' ? r.tracker.progress(id) : undefined;
  if (member === undefined || member.state !== 'StateSnapshot') return;
  // Without the snapshot the member is where it was before.
  if (!ok) member.pendingSnapshot = 0;
  member.becomeProbe();
  // The next MsgApp waits for the member's answer to the snapshot, or for the next heartbeat.
  member.flowPaused = true;
}

function trySendSnapshot(r: Raft, to: Progress): boolean {
  if (!to.recentActive) return false;
  const snapshot = r.log.snapshot(to.id);
  if (snapshot === undefined) return false;
  const { voters, votersOutgoing, learners } = snapshot.confState;
  if (![...voters, ...votersOutgoing, ...learners].includes(to.id)) {
    r.logger?.info(
      `snapshot at ${snapshot.index} is older than the membership of ${to.id}; not sent`,
    );
    return false;
  }
  to.becomeSnapshot(snapshot.index);
  r.logger?.info(`${r.id} sends snapshot at ${snapshot.index} to ${to.id}`);
  r.send({ ...BLANK, type: 'MsgSnap', from: r.id, to: to.id, term: r.term, snapshot });
  return true;
}
