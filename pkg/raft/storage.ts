import { assert, RaftError } from './error.ts';
import type { ConfState, Entry, HardState, Index, NodeId, Snapshot } from './message.ts';
import { EMPTY_CONF_STATE, entrySize } from './message.ts';

/**
 * What the node reads back of what it asked to be written. The node never writes here: its owner does, when it
 * handles a Ready. Errors carry `code`: ErrCompacted below the first index, ErrUnavailable above the last,
 * ErrSnapshotTemporarilyUnavailable from `snapshot`.
 */
export interface Storage {
  /** Hard state and membership to start from. The hard state is null on a node that never ran. */
  initialState(): { hardState: HardState | null; confState: ConfState };
  /** Entries in [lo, hi): at least one, then as many as fit into `maxSize` bytes (see `entrySize`). */
  entries(lo: Index, hi: Index, maxSize: number): readonly Entry[];
  /** Term of the entry at `index`, which may be the one just before `firstIndex`. */
  term(index: Index): number;
  firstIndex(): Index;
  lastIndex(): Index;
  /**
   * The newest snapshot. The leader asks on behalf of `member`, and sends it only if its `confState` contains `member`:
   * when it does not, start taking a newer one and throw ErrSnapshotTemporarilyUnavailable until it is there.
   */
  snapshot(member?: NodeId): Snapshot;
}

/** Longest prefix of `entries` within `maxSize` bytes, but never empty when `entries` is not. */
export function limitSize(entries: readonly Entry[], maxSize: number): readonly Entry[] {
  const count = countWithin(entries, 0, entries.length, maxSize);
  return count === entries.length ? entries : entries.slice(0, count);
}

/** How many entries of [from, to) fit into `maxSize` bytes; at least one when there is one. */
function countWithin(entries: readonly Entry[], from: number, to: number, maxSize: number): number {
  let size = 0;
  for (let at = from; at < to; at++) {
    size += entrySize(entries[at] as Entry);
    if (size > maxSize && at > from) return at - from;
  }
  return to - from;
}

/** A Storage in memory: the tail of the log after a snapshot. Durability is its owner's business. */
export class MemoryStorage implements Storage {
  #hardState: HardState | null = null;
  #snapshot: Snapshot = {
    index: 0,
    term: 0,
    confState: EMPTY_CONF_STATE,
    data: new Uint8Array(0),
  };
  /** Index and term of the entry just before `#entries[0]`. */
  #offset = 0;
  #offsetTerm = 0;
  #entries: Entry[] = [];

  initialState(): { hardState: HardState | null; confState: ConfState } {
    return { hardState: this.#hardState, confState: this.#snapshot.confState };
  }

  setHardState(hardState: HardState): void {
    this.#hardState = hardState;
  }

  entries(lo: Index, hi: Index, maxSize: number): readonly Entry[] {
    if (lo <= this.#offset) throw new RaftError('ErrCompacted');
    if (hi > this.lastIndex() + 1) throw new RaftError('ErrUnavailable');
    const from = lo - this.#offset - 1;
    const to = from + countWithin(this.#entries, from, hi - this.#offset - 1, maxSize);
    return this.#entries.slice(from, to);
  }

  term(index: Index): number {
    if (index < this.#offset) throw new RaftError('ErrCompacted');
    if (index === this.#offset) return this.#offsetTerm;
    const entry = this.#entries[index - this.#offset - 1];
    if (entry === undefined) throw new RaftError('ErrUnavailable');
    return entry.term;
  }

  firstIndex(): Index {
    return this.#offset + 1;
  }

  lastIndex(): Index {
    return this.#offset + this.#entries.length;
  }

  snapshot(_member?: NodeId): Snapshot {
    return this.#snapshot;
  }

  /** Replaces everything by `snapshot`, as received from a leader or read at start. Throws ErrSnapOutOfDate. */
  applySnapshot(snapshot: Snapshot): void {
    if (this.#snapshot.index !== 0 && this.#snapshot.index >= snapshot.index) {
      throw new RaftError('ErrSnapOutOfDate');
    }
    this.#snapshot = snapshot;
    this.#offset = snapshot.index;
    this.#offsetTerm = snapshot.term;
    this.#entries = [];
  }

  /** Records a snapshot this node took of its own state, without touching the log. Throws ErrSnapOutOfDate. */
  createSnapshot(snapshot: Snapshot): void {
    if (this.#snapshot.index >= snapshot.index) throw new RaftError('ErrSnapOutOfDate');
    if (snapshot.index > this.lastIndex()) throw new RaftError('ErrUnavailable');
    this.#snapshot = snapshot;
  }

  /** Drops entries up to and including `index`. Throws ErrCompacted when that already happened. */
  compact(index: Index): void {
    if (index <= this.#offset) throw new RaftError('ErrCompacted');
    const term = this.term(index);
    this.#entries = this.#entries.slice(index - this.#offset);
    this.#offset = index;
    this.#offsetTerm = term;
  }

  /** Adds entries; an entry that is already there at the same index is replaced together with all behind it. */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    const last = entries.at(-1);
    if (first === undefined || last === undefined || last.index <= this.#offset) return;
    const fresh =
      first.index > this.#offset ? entries : entries.slice(this.#offset + 1 - first.index);
    const at = (fresh[0] as Entry).index - this.#offset - 1;
    assert(
      at <= this.#entries.length,
      `append at ${first.index} leaves a gap after ${this.lastIndex()}`,
    );
    this.#entries.length = at;
    for (const entry of fresh) this.#entries.push(entry);
  }
}
