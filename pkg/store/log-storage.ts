import {
  type ConfState,
  type Entry,
  entrySize,
  type HardState,
  MemoryStorage,
  RaftError,
  type Snapshot,
  type Storage,
} from 'raft-js';

const NO_DATA = new Uint8Array(0);

export interface SnapshotPoint {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
}

/**
 * The log in memory behind the newest snapshot, as raft reads it back. Snapshots are described, not held: their data is
 * in a file.
 */
export class LogStorage implements Storage {
  readonly #log = new MemoryStorage();
  readonly #onSnapshotWanted: () => void;
  #bytes = 0;
  #hardState: HardState = { term: 0, vote: 0, commit: 0 };

  constructor(onSnapshotWanted: () => void) {
    this.#onSnapshotWanted = onSnapshotWanted;
  }

  /** Bytes of the entries held. */
  get bytes(): number {
    return this.#bytes;
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  initialState(): { hardState: HardState | null; confState: ConfState } {
    return this.#log.initialState();
  }

  entries(lo: number, hi: number, maxSize: number): readonly Entry[] {
    return this.#log.entries(lo, hi, maxSize);
  }

  term(index: number): number {
    return this.#log.term(index);
  }

  firstIndex(): number {
    return this.#log.firstIndex();
  }

  lastIndex(): number {
    return this.#log.lastIndex();
  }

  /** @throws RaftError ErrSnapshotTemporarilyUnavailable while there is none that knows `member`; one is then taken */
  snapshot(member?: number): Snapshot {
    const newest = this.#log.snapshot();
    const { voters, votersOutgoing, learners } = newest.confState;
    const known = [...voters, ...votersOutgoing, ...learners];
    if (newest.index === 0 || (member !== undefined && !known.includes(member))) {
      this.#onSnapshotWanted();
      throw new RaftError('ErrSnapshotTemporarilyUnavailable');
    }
    return newest;
  }

  setHardState(hardState: HardState): void {
    this.#hardState = hardState;
    this.#log.setHardState(hardState);
  }

  append(entries: readonly Entry[]): void {
    const from = entries[0]?.index ?? Number.POSITIVE_INFINITY;
    const last = this.#log.lastIndex();
    // Replaced entries leave; that is rare and concerns few.
    const first = Math.max(from, this.#log.firstIndex());
    if (first <= last)
      this.#bytes -= sizeOf(this.#log.entries(first, last + 1, Number.POSITIVE_INFINITY));
    this.#log.append(entries);
    this.#bytes += sizeOf(entries);
  }

  /** A snapshot from the leader replaces everything. */
  install(point: SnapshotPoint): void {
    this.#log.applySnapshot({ ...point, data: NO_DATA });
    this.#bytes = 0;
  }

  /** Remember the newest own snapshot. */
  note(point: SnapshotPoint): void {
    this.#log.createSnapshot({ ...point, data: NO_DATA });
  }

  /** Drop entries up to the snapshot, but keep some for followers that lag a little. */
  compact(snapshotIndex: number, keepEntries: number, keepBytes: number): void {
    let to = Math.max(snapshotIndex - keepEntries, 0);
    if (to >= this.firstIndex()) this.#dropTo(to);
    while (this.#bytes > keepBytes && this.firstIndex() <= snapshotIndex) {
      to = Math.min(snapshotIndex, this.firstIndex() + COMPACT_STEP);
      this.#dropTo(to);
    }
  }

  #dropTo(index: number): void {
    this.#bytes -= sizeOf(
      this.#log.entries(this.firstIndex(), index + 1, Number.POSITIVE_INFINITY),
    );
    this.#log.compact(index);
  }
}

const COMPACT_STEP = 64;

function sizeOf(entries: readonly Entry[]): number {
  return entries.reduce((total, entry) => total + entrySize(entry), 0);
}
