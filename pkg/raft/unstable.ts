import { assert } from './error.ts';
import type { Entry, Index, Snapshot } from './message.ts';

/**
 * The end of the log that storage is not known to have: an incoming snapshot, or entries from `offset` on. What lies
 * below `#offsetInProgress` was handed out for writing and must not be handed out again.
 */
export class Unstable {
  snapshot: Snapshot | null = null;
  offset: Index;
  entries: Entry[] = [];
  #snapshotInProgress = false;
  #offsetInProgress: Index;

  constructor(offset: Index) {
    this.offset = offset;
    this.#offsetInProgress = offset;
  }

  /** Undefined when storage has to say. */
  lastIndex(): Index | undefined {
    if (this.entries.length > 0) return this.offset + this.entries.length - 1;
    return this.snapshot?.index;
  }

  /** Undefined when storage has to say, or when there is no such entry. */
  term(index: Index): number | undefined {
    if (index >= this.offset) return this.entries[index - this.offset]?.term;
    return this.snapshot !== null && this.snapshot.index === index ? this.snapshot.term : undefined;
  }

  slice(lo: Index, hi: Index): readonly Entry[] {
    return this.entries.slice(lo - this.offset, hi - this.offset);
  }

  get hasNextEntries(): boolean {
    return this.offset + this.entries.length > this.#offsetInProgress;
  }

  nextEntries(): readonly Entry[] {
    return this.hasNextEntries ? this.entries.slice(this.#offsetInProgress - this.offset) : [];
  }

  nextSnapshot(): Snapshot | null {
    return this.#snapshotInProgress ? null : this.snapshot;
  }

  /** Everything here was handed out for writing. */
  acceptInProgress(): void {
    this.#offsetInProgress = this.offset + this.entries.length;
    this.#snapshotInProgress = this.snapshot !== null;
  }

  /**
   * Storage has the entries up to `index`, if the entry there is still the one of `term`: it may have been replaced
   * while it was being written.
   */
  stableTo(index: Index, term: number): void {
    if (index < this.offset || this.term(index) !== term) return;
    this.entries = this.entries.slice(index + 1 - this.offset);
    this.offset = index + 1;
    this.#offsetInProgress = Math.max(this.#offsetInProgress, this.offset);
  }

  stableSnapshotTo(index: Index): void {
    if (this.snapshot === null || this.snapshot.index !== index) return;
    this.snapshot = null;
    this.#snapshotInProgress = false;
  }

  restore(snapshot: Snapshot): void {
    this.offset = snapshot.index + 1;
    this.#offsetInProgress = this.offset;
    this.entries = [];
    this.snapshot = snapshot;
    this.#snapshotInProgress = false;
  }

  /** Adds entries; whatever is there from the first of them on is dropped. */
  truncateAndAppend(entries: readonly Entry[]): void {
    const from = (entries[0] as Entry).index;
    assert(from <= this.offset + this.entries.length, `entries from ${from} on would leave a gap`);
    if (from <= this.offset) {
      this.entries = [...entries];
      this.offset = from;
      this.#offsetInProgress = from;
      return;
    }
    this.entries.length = from - this.offset;
    this.#offsetInProgress = Math.min(this.#offsetInProgress, from);
    for (const entry of entries) this.entries.push(entry);
  }
}
