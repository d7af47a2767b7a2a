import type { Entry, Message, Snapshot } from './message.ts';
import { BLANK, LOCAL_APPEND, LOCAL_APPLY } from './message.ts';
import type { Raft } from './raft.ts';
import type { Ready } from './ready.ts';

/** Work for the thread that writes; undefined when there is none. `responses` leave when it is durable. */
export function storageAppendMessage(
  r: Raft,
  work: Pick<Ready, 'hardState' | 'entries' | 'snapshot'>,
  responses: readonly Message[],
): Message | undefined {
  const { hardState, entries, snapshot } = work;
  const idle = entries.length === 0 && hardState === null && snapshot === null;
  if (idle && responses.length === 0) return undefined;
  const stored = storageAppendResponse(r, snapshot);
  return {
    ...BLANK,
    type: 'MsgStorageAppend',
    from: r.id,
    to: LOCAL_APPEND,
    term: hardState?.term,
    vote: hardState?.vote,
    commit: hardState?.commit,
    entries,
    snapshot,
    responses: stored === undefined ? responses : [...responses, stored],
  };
}

/**
 * Tells the node that everything unstable up to now is stored. It names the end of the log, not only what is new: an
 * earlier answer may have been ignored because the term changed meanwhile.
 */
export function storageAppendResponse(r: Raft, snapshot: Snapshot | null): Message | undefined {
  const hasEntries = r.log.unstable.entries.length > 0;
  if (!hasEntries && snapshot === null) return undefined;
  const last = hasEntries ? r.log.lastId() : undefined;
  return {
    ...BLANK,
    type: 'MsgStorageAppendResp',
    from: LOCAL_APPEND,
    to: r.id,
    term: r.term,
    index: last?.index,
    logTerm: last?.term,
    snapshot,
  };
}

/** Work for the thread that applies. Committed entries belong to no term. */
export function storageApplyMessage(r: Raft, entries: readonly Entry[]): Message {
  const done: Message = {
    ...BLANK,
    type: 'MsgStorageApplyResp',
    from: LOCAL_APPLY,
    to: r.id,
    entries,
  };
  return {
    ...BLANK,
    type: 'MsgStorageApply',
    from: r.id,
    to: LOCAL_APPLY,
    entries,
    responses: [done],
  };
}
