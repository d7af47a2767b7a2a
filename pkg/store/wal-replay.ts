import type { Entry, HardState } from 'raft-js';
import type { SnapshotRef, WalRecord } from './wal-record.ts';

/** The log after a snapshot, as replayed from the records. */
export interface ReplayedLog {
  readonly hardState: HardState;
  readonly entries: readonly Entry[];
}

/** The snapshots the records tell of, newest first. */
export function snapshotRefs(records: readonly WalRecord[]): readonly SnapshotRef[] {
  const byIndex = new Map<number, SnapshotRef>();
  for (const record of records) {
    if (record.kind === 'snapshot') byIndex.set(record.ref.index, record.ref);
  }
  return [...byIndex.values()].sort((left, right) => right.index - left.index);
}

/**
 * What the records say after the state at `base` (0: from the beginning). Undefined when entries between are missing,
 * so that this base cannot be used.
 */
export function replayLog(records: readonly WalRecord[], base: number): ReplayedLog | undefined {
  let hardState: HardState = { term: 0, vote: 0, commit: 0 };
  const entries: Entry[] = [];
  for (const record of records) {
    if (record.kind === 'hardState') hardState = record.hardState;
    if (record.kind === 'entries' && !append(entries, record.entries, base)) return undefined;
    if (record.kind === 'snapshot' && record.ref.installed && record.ref.index >= base) {
      // Received from the leader: the log it replaced is void, and what follows begins behind it.
      entries.length = 0;
      if (record.ref.index > base) return undefined;
    }
  }
  return hardState.commit > base + entries.length ? undefined : { hardState, entries };
}

/** Later entries replace earlier ones and everything behind them. False when they leave a gap. */
function append(log: Entry[], fresh: readonly Entry[], base: number): boolean {
  for (const entry of fresh) {
    const at = entry.index - base - 1;
    if (at > log.length) return false;
    log.length = Math.max(0, at);
    if (at >= 0) log.push(entry);
  }
  return true;
}
