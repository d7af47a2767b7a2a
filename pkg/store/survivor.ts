import { dirname } from 'node:path';
import type { ConfState } from 'raft-js';
import { type Clock, type Disk, type Logger, type Random, systemDisk } from '../io/index.ts';
import { ClusterError, type ClusterId, type Version } from '../model/index.ts';
import { applyEntry } from './apply-entry.ts';
import type { Member, Tuning } from './contract.ts';
import { lockDirectory } from './directory-lock.ts';
import { type FrameCodec, plainCodec } from './frame-codec.ts';
import { recover } from './recovery.ts';
import { SnapshotFolder } from './snapshot.ts';
import { StateMachine } from './state-machine.ts';
import { TUNING } from './tuning.ts';
import { Wal } from './wal.ts';
import { hex16, readSegments } from './wal-read.ts';

export interface SurvivorOptions {
  /** As of the store that is to go on. It must not run. */
  readonly directory: string;
  readonly clusterId: ClusterId;
  /** Raft id that this manager had in the group whose majority is lost. */
  readonly former: number;
  /** This manager with a NEW raft id, so that nothing which still comes from the old group concerns it. */
  readonly self: Member;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly codec?: FrameCodec | undefined;
  readonly disk?: Disk | undefined;
  readonly tuning?: Partial<Tuning> | undefined;
}

/** Versions that the lost members may have given away without this one knowing are not given again. */
const VERSION_GAP = 100_000;

/**
 * Make a group of one out of a member whose group lost its majority for good. It keeps what was known to be committed;
 * the other members count as removed. The old directory stays beside the new one as `<directory>.before-<raft id>`.
 *
 * The new directory is complete and durable before two renames put it in place; cut off anywhere, a repetition with the
 * same options finishes it, and one after the end does nothing.
 * @throws ClusterError system for damaged files, conflict when the directory is neither the former nor the new member's
 */
export async function continueAlone(options: SurvivorOptions): Promise<void> {
  const { directory, former, self, logger } = options;
  const disk = options.disk ?? systemDisk;
  const made = `${directory}.alone`;
  const owner = await ownerOf(disk, directory, options.codec);
  if (owner === self.raftId) return;
  if (owner === undefined) {
    // Between the renames: the first one is done only when everything is durable.
    if ((await ownerOf(disk, made, options.codec)) !== self.raftId)
      throw new ClusterError('conflict', `there is no log in ${directory}`);
  } else {
    const lock = lockDirectory(directory);
    try {
      await build(options, disk, made);
    } finally {
      lock[Symbol.dispose]();
    }
    await disk.rename(directory, `${directory}.before-${hex16(former)}`);
  }
  await disk.rename(made, directory);
  await disk.fsyncDir(dirname(directory));
  logger.warn('this manager goes on alone', { former, member: self.raftId });
}

/** Raft id of the log below `directory`; undefined when there is none. */
async function ownerOf(
  disk: Disk,
  directory: string,
  codec: FrameCodec = plainCodec,
): Promise<number | undefined> {
  const folder = `${directory}/wal`;
  const exists = await disk.readdir(folder).then(
    (files) => files.some((file) => file.endsWith('.wal')),
    () => false,
  );
  if (!exists) return undefined;
  const segments = await readSegments(disk, folder, codec);
  for (const record of segments.flatMap((segment) => segment.records)) {
    if (record.kind === 'identity') return record.identity.raftId;
  }
  return undefined;
}

async function build(options: SurvivorOptions, disk: Disk, folder: string): Promise<void> {
  const { directory, clusterId, former, self, logger, codec } = options;
  const tuning = { ...TUNING, ...options.tuning };
  const machine = new StateMachine(tuning.requestsMax);
  const { wal, storage, snapshotIndex } = await recover({
    store: {
      ...options,
      self: { ...self, raftId: former },
      begin: { kind: 'join', members: [] },
    },
    disk,
    tuning,
    machine,
    onSnapshotWanted: () => undefined,
  });
  const { term, commit } = storage.hardState;
  const last = storage.lastIndex();
  if (commit > snapshotIndex) {
    const entries = storage.entries(snapshotIndex + 1, commit + 1, Number.POSITIVE_INFINITY);
    for (const entry of entries) applyEntry(machine, entry, () => undefined);
  }
  await wal.close();
  logger.info('state taken from the log', { directory, commit, uncommitted: last - commit });
  const index = (last + VERSION_GAP) as Version;
  machine.continueAlone(self, index);
  const identity = { clusterId, raftId: self.raftId };
  await empty(disk, folder);
  const snapshots = new SnapshotFolder(disk, `${folder}/snap`, identity, codec);
  await snapshots.open();
  const point = { index, term: term + 1 };
  await snapshots.write({ ...point, confState: aloneWith(self) }, machine.snapshot());
  const fresh = await Wal.open({
    disk,
    folder: `${folder}/wal`,
    identity,
    segmentBytes: tuning.segmentBytes,
    clock: options.clock,
    logger,
    codec,
  });
  await fresh.wal.commit([
    { kind: 'snapshot', ref: { ...point, installed: true } },
    { kind: 'hardState', hardState: { term: point.term, vote: 0, commit: index } },
  ]);
  await fresh.wal.close();
  await disk.fsyncDir(folder);
  await disk.fsyncDir(dirname(folder));
}

function aloneWith(self: Member): ConfState {
  return {
    voters: [self.raftId],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
}

/** What an attempt that was cut off has left. */
async function empty(disk: Disk, folder: string): Promise<void> {
  for (const part of ['wal', 'snap']) {
    await disk.mkdir(`${folder}/${part}`);
    for (const file of await disk.readdir(`${folder}/${part}`))
      await disk.unlink(`${folder}/${part}/${file}`);
  }
}
