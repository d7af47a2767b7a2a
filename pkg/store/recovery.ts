import {
  type ConfState,
  decodeConfChange,
  type Entry,
  encodeConfChange,
  type HardState,
} from 'raft-js';
import type { Disk, Logger, Random } from '../io/index.ts';
import { ClusterError, type InstantMs, VERSION_NONE } from '../model/index.ts';
import { decodeMemberCommand, encodeMemberCommand } from './command.ts';
import type { Member, StoreOptions, Tuning } from './contract.ts';
import { LogStorage } from './log-storage.ts';
import { SnapshotFolder } from './snapshot.ts';
import type { StateMachine } from './state-machine.ts';
import { Wal } from './wal.ts';
import { damaged } from './wal-read.ts';
import type { SnapshotRef, WalRecord } from './wal-record.ts';
import { type ReplayedLog, replayLog, snapshotRefs } from './wal-replay.ts';

/** The durable state of one member, read back into memory. */
export interface Recovered {
  readonly wal: Wal;
  readonly snapshots: SnapshotFolder;
  readonly storage: LogStorage;
  readonly machine: StateMachine;
  readonly confState: ConfState;
  /** The snapshot everything else builds on; 0 for none. */
  readonly snapshotIndex: number;
  readonly lastSaid: LastSaid;
}

/** What the end of the log says of members. It was perhaps applied before the crash, and then others go by it. */
export interface LastSaid {
  /** Behind this index, which is known to be committed. */
  readonly after: number;
  readonly members: readonly Member[];
}

export interface RecoveryOptions {
  readonly store: Pick<
    StoreOptions,
    'directory' | 'clusterId' | 'self' | 'begin' | 'clock' | 'random' | 'logger' | 'codec'
  >;
  readonly disk: Disk;
  readonly tuning: Tuning;
  /** An empty one, to be filled. */
  readonly machine: StateMachine;
  readonly onSnapshotWanted: () => void;
  /** The disk has no room for more log; undefined when it has again. */
  readonly onFull?: ((problem: ClusterError | undefined) => void) | undefined;
}

const NO_CONFIG: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};
const NO_SNAPSHOT: SnapshotRef = { index: 0, term: 0, installed: false };

/**
 * Read what this member has on disk, or begin: the newest snapshot that is whole, and the log after it.
 * @throws ClusterError system when something durable is missing or damaged
 */
export async function recover(options: RecoveryOptions): Promise<Recovered> {
  const { store, disk, tuning, machine } = options;
  const { directory, logger, clusterId, self } = store;
  const identity = { clusterId, raftId: self.raftId };
  const snapshots = new SnapshotFolder(disk, `${directory}/snap`, identity, store.codec);
  await snapshots.open();
  const folder = `${directory}/wal`;
  const { segmentBytes } = tuning;
  const { wal, records } = await Wal.open({
    disk,
    folder,
    identity,
    segmentBytes,
    clock: store.clock,
    logger,
    onFull: options.onFull,
    codec: store.codec,
  });
  const began = await begin(wal, records, store, snapshots);
  const base = await restoreNewest({ snapshots, records: began, machine, logger, folder });
  const { ref, confState, log } = base;
  const storage = new LogStorage(options.onSnapshotWanted);
  if (ref.index > 0) storage.install({ index: ref.index, term: ref.term, confState });
  storage.append(log.entries);
  const commit = Math.max(log.hardState.commit, ref.index);
  storage.setHardState({ ...log.hardState, commit });
  const lastSaid = { after: commit, members: membersIn(log.entries, commit) };
  return { wal, snapshots, storage, machine, confState, snapshotIndex: ref.index, lastSaid };
}

function membersIn(entries: readonly Entry[], after: number): readonly Member[] {
  return entries.flatMap((entry) => {
    if (entry.index <= after || entry.type === 'EntryNormal') return [];
    return decodeMemberCommand(decodeConfChange(entry).context)?.member ?? [];
  });
}

/** The first member writes the entry that makes it the only voter; everybody else finds entries or waits for them. */
async function begin(
  wal: Wal,
  records: readonly WalRecord[],
  store: RecoveryOptions['store'],
  snapshots: SnapshotFolder,
): Promise<readonly WalRecord[]> {
  const empty = records.every(
    (record) =>
      record.kind === 'identity' ||
      record.kind === 'size' ||
      (record.kind === 'hardState' && record.hardState.term === 0),
  );
  if (empty && (await snapshots.count()) > 0) {
    throw damaged(`${store.directory}/wal`, 0, 'there are snapshots, but the log is empty');
  }
  if (!empty || store.begin.kind !== 'bootstrap') return records;
  const first = firstRecords(store.self, store.random, store.clock.now());
  await wal.commit(first);
  return first;
}

function firstRecords(self: Member, random: Random, now: InstantMs): readonly WalRecord[] {
  const id = Buffer.from(random.bytes(16)).toString('hex');
  const context = encodeMemberCommand({ id, now, base: VERSION_NONE, member: self });
  const changes = [{ type: 'addNode', nodeId: self.raftId }] as const;
  const { type, data } = encodeConfChange({ changes, context });
  const hardState: HardState = { term: 1, vote: 0, commit: 1 };
  return [
    { kind: 'entries', entries: [{ index: 1, term: 1, type, data }] },
    { kind: 'hardState', hardState },
  ];
}

interface Base {
  readonly ref: SnapshotRef;
  readonly confState: ConfState;
  readonly log: ReplayedLog;
}

async function restoreNewest(from: {
  readonly snapshots: SnapshotFolder;
  readonly records: readonly WalRecord[];
  readonly machine: StateMachine;
  readonly logger: Logger;
  readonly folder: string;
}): Promise<Base> {
  let problem: ClusterError | undefined;
  for (const ref of [...snapshotRefs(from.records), NO_SNAPSHOT]) {
    const log = replayLog(from.records, ref.index);
    if (log === undefined) continue;
    if (ref.index === 0) return { ref, confState: NO_CONFIG, log };
    const restore = from.machine.beginRestore();
    try {
      const { confState } = await from.snapshots.read(ref, restore.add);
      restore.finish();
      return { ref, confState, log };
    } catch (error) {
      from.logger.warn('log snapshot cannot be used', { index: ref.index, error });
      problem ??= error instanceof ClusterError ? error : undefined;
    }
  }
  throw problem
    ? unusable(problem)
    : damaged(from.folder, 0, 'entries after the newest snapshot are missing');
}

function unusable(cause: ClusterError): ClusterError {
  return new ClusterError(
    'system',
    `${cause.message}; the log alone is not enough, nothing was changed. Remove this manager from the cluster, empty its data directory and join again`,
    { code: 'ERR_LOG_DAMAGED', cause },
  );
}
