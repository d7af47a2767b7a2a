import { changeMembership, isVoter, type Membership } from './conf-change.ts';
import type { ConfChange } from './conf-change-codec.ts';
import { hasCode } from './error.ts';
import { type ConfState, type Index, NONE } from './message.ts';
import type { Raft } from './raft.ts';
import { answerConfirmed, releasePendingReads } from './reads.ts';
import { broadcastAppend, tryCommit, trySendAppend } from './replication.ts';

/**
 * Puts the committed change at `index` in force. A change that does not fit the configuration changes nothing; all
 * nodes decide that alike. Null when a snapshot already brought a configuration that includes the change.
 */
export function applyConfChange(r: Raft, change: ConfChange, index: Index): ConfState | null {
  if (index <= r.confSnapshotIndex) return null;
  try {
    switchTo(r, changeMembership(r.tracker.membership, change, r.makeProgress));
  } catch (error) {
    if (!hasCode(error, 'ErrConfChangeInvalid')) throw error;
    r.logger?.warn(`configuration change at ${index} does not fit and is ignored`);
  }
  return r.tracker.config;
}

function switchTo(r: Raft, membership: Membership): void {
  r.tracker.membership = membership;
  if (r.state !== 'StateLeader') return;
  // Members that were not asked for the lease may elect somebody.
  r.readIndex.endLease();
  const own = membership.progress.get(r.id);
  if (own === undefined || own.isLearner) {
    if (r.settings.stepDownOnRemoval) r.becomeFollower(r.term, NONE);
    return;
  }
  if (tryCommit(r)) {
    // A smaller quorum may have what the larger one had not.
    releasePendingReads(r);
    broadcastAppend(r);
  } else {
    for (const member of r.tracker.members) {
      if (member.id !== r.id) trySendAppend(r, member, false);
    }
  }
  answerConfirmed(r);
  if (!isVoter(membership.config, r.leadTransferee)) r.leadTransferee = NONE;
}
