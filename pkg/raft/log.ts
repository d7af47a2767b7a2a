import { assert, hasCode, RaftError } from './error.ts';
import type { Entry, Index, Snapshot } from './message.ts';
import { entrySize } from './message.ts';
import { limitSize, type Storage } from './storage.ts';
import { Unstable } from './unstable.ts';

export interface EntryId {
  readonly index: Index;
  readonly term: number;
}

/**
 * The log of one node: what storage holds and behind it what is still to be written.
 * Invariant: applied <= applying <= committed <= last index.
 */
export class RaftLog {
  committed: Index;
  /** The last committed entry handed out to be applied. */
  applying: Index;
  applied: Index;
  readonly unstable: Unstable;
  readonly #storage: Storage;
  readonly #applyingBytesMax: number;
  #applyingBytes = 0;
  #applyingPaused = false;

  constructor(storage: Storage, applyingBytesMax: number) {
    this.#storage = storage;
    this.#applyingBytesMax = applyingBytesMax;
    const before = storage.firstIndex() - 1;
    this.committed = before;
    this.applying = before;
    this.applied = before;
    this.unstable = new Unstable(storage.lastIndex() + 1);
  }

  firstIndex(): Index {
    const { snapshot } = this.unstable;
    return snapshot === null ? this.#storage.firstIndex() : snapshot.index + 1;
  }

  lastIndex(): Index {
    return this.unstable.lastIndex() ?? this.#storage.lastIndex();
  }

  lastId(): EntryId {
    const index = this.lastIndex();
    const term = this.term(index);
    assert(term !== undefined, `no term for the last entry ${index}`);
    return { index, term };
  }

  /** Undefined when the entry was compacted away or does not exist. */
  term(index: Index): number | undefined {
    const unstable = this.unstable.term(index);
    if (unstable !== undefined) return unstable;
    if (index + 1 < this.firstIndex() || index > this.lastIndex()) return undefined;
    return this.#storage.term(index);
  }

  matches(index: Index, term: number): boolean {
    return this.term(index) === term;
  }

  /** Whether a log that ends with `theirs` has everything this one can have committed. */
  isUpToDate(theirs: EntryId): boolean {
    const ours = this.lastId();
    return theirs.term > ours.term || (theirs.term === ours.term && theirs.index >= ours.index);
  }

  /** Adds entries at the end, or in place of uncommitted ones. */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    assert(
      first.index > this.committed,
      `entry ${first.index} is committed and cannot be replaced`,
    );
    this.unstable.truncateAndAppend(entries);
  }

  /**
   * Takes over entries that follow `previous` in a leader's log. Entries that are there already stay, also those behind
   * them: a late message must not shorten the log. False when `previous` is not in the log.
   */
  tryAppend(previous: EntryId, entries: readonly Entry[]): boolean {
    if (!this.matches(previous.index, previous.term)) return false;
    const last = this.lastIndex();
    let known = 0;
    for (const { index, term } of entries) {
      if (index > last || !this.matches(index, term)) break;
      known++;
    }
    this.append(known === 0 ? entries : entries.slice(known));
    return true;
  }

  /**
   * The last entry at or before `index` with a term of at most `term`: where two logs may agree at best. The term is 0
   * when it is unknown.
   */
  lastNotAfter(index: Index, term: number): EntryId {
    for (let at = index; at > 0; at--) {
      const ours = this.term(at);
      if (ours === undefined) return { index: at, term: 0 };
      if (ours <= term) return { index: at, term: ours };
    }
    return { index: 0, term: 0 };
  }

  commitTo(index: Index): void {
    if (index <= this.committed) return;
    assert(
      index <= this.lastIndex(),
      `commit ${index} is behind the end ${this.lastIndex()}: entries were lost`,
    );
    this.committed = index;
  }

  /** Entries from `lo` on within `maxSize` bytes, at least one if there is one. Undefined when compacted away. */
  entries(lo: Index, maxSize: number): readonly Entry[] | undefined {
    const last = this.lastIndex();
    return lo > last ? [] : this.slice(lo, last + 1, maxSize);
  }

  /** Entries in [lo, hi) within `maxSize` bytes, at least one. Undefined when compacted away. */
  slice(lo: Index, hi: Index, maxSize: number): readonly Entry[] | undefined {
    if (lo < this.firstIndex()) return undefined;
    const { offset } = this.unstable;
    if (lo >= offset) return limitSize(this.unstable.slice(lo, hi), maxSize);
    const cut = Math.min(hi, offset);
    const stable = this.#stored(lo, cut, maxSize);
    if (stable === undefined || hi <= offset || stable.length < cut - lo) return stable;
    let left = maxSize;
    for (const entry of stable) left -= entrySize(entry);
    if (left <= 0) return stable;
    const rest = limitSize(this.unstable.slice(offset, hi), left);
    if (rest.length === 1 && entrySize(rest[0] as Entry) > left) return stable;
    return [...stable, ...rest];
  }

  /** Whether a committed configuration change still waits to be applied. */
  hasUnappliedConfChange(): boolean {
    let lo = this.applied + 1;
    while (lo <= this.committed) {
      const page = this.slice(lo, this.committed + 1, this.#applyingBytesMax);
      // Compacted but not applied: the owner is about to apply a snapshot. Nothing is known, so say yes.
      if (page === undefined) return true;
      if (page.some((entry) => entry.type !== 'EntryNormal')) return true;
      lo += page.length;
    }
    return false;
  }

  hasNextCommitted(allowUnstable: boolean): boolean {
    if (this.#applyingPaused || this.unstable.snapshot !== null) return false;
    return this.applying < this.#appliableTo(allowUnstable);
  }

  /** Committed entries to apply next. With `allowUnstable` also those that are still being written. */
  nextCommitted(allowUnstable: boolean): readonly Entry[] {
    if (!this.hasNextCommitted(allowUnstable)) return [];
    const hi = this.#appliableTo(allowUnstable) + 1;
    const entries = this.slice(this.applying + 1, hi, this.#applyingBytesMax - this.#applyingBytes);
    assert(entries !== undefined, `entry ${this.applying + 1} is not applied but compacted away`);
    return entries;
  }

  /** `entries` were handed out to be applied. */
  acceptApplying(entries: readonly Entry[], allowUnstable: boolean): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    this.applying = last.index;
    for (const entry of entries) this.#applyingBytes += entrySize(entry);
    this.#applyingPaused =
      this.#applyingBytes >= this.#applyingBytesMax ||
      last.index < this.#appliableTo(allowUnstable);
  }

  /** The owner applied everything up to `index`; `bytes` of it came from `acceptApplying`. */
  appliedTo(index: Index, bytes: number): void {
    if (index < this.applied || index > this.committed) {
      throw new RaftError(
        'ErrInvariant',
        `applied ${index} is not in [${this.applied}, ${this.committed}]`,
      );
    }
    this.applied = index;
    this.applying = Math.max(this.applying, index);
    this.#applyingBytes = Math.max(0, this.#applyingBytes - bytes);
    this.#applyingPaused = this.#applyingBytes >= this.#applyingBytesMax;
  }

  /** The newest snapshot. Undefined when storage has none that it can give to `member` right now. */
  snapshot(member: number): Snapshot | undefined {
    if (this.unstable.snapshot !== null) return this.unstable.snapshot;
    try {
      return this.#storage.snapshot(member);
    } catch (error) {
      if (hasCode(error, 'ErrSnapshotTemporarilyUnavailable')) return undefined;
      throw error;
    }
  }

  restore(snapshot: Snapshot): void {
    this.committed = snapshot.index;
    this.unstable.restore(snapshot);
  }

  #appliableTo(allowUnstable: boolean): Index {
    return allowUnstable ? this.committed : Math.min(this.committed, this.unstable.offset - 1);
  }

  #stored(lo: Index, hi: Index, maxSize: number): readonly Entry[] | undefined {
    try {
      return this.#storage.entries(lo, hi, maxSize);
    } catch (error) {
      if (hasCode(error, 'ErrCompacted')) return undefined;
      throw error;
    }
  }
}
