import { ClusterError, type Version } from '../model/index.ts';
import type { Batch } from './contract.ts';

/**
 * The newest batches, in order, for all who follow them. Nobody has a queue: a reader is a position in this one list, so
 * a slow one costs nothing and holds nobody up. When the list has moved on past it, it is told so and has to read the
 * view again.
 */
export class History {
  readonly #changesMax: number;
  #batches: Batch[] = [];
  /** How many at the beginning of `#batches` are forgotten, and how many were cut off before those. */
  #forgotten = 0;
  #cut = 0;
  #changes = 0;
  /** What entries up to this one changed is not here. */
  #floor: Version;
  readonly #waiting = new Set<() => void>();
  #ended: ClusterError | undefined;

  /** Remembers batches behind `floor`, up to `changesMax` changes in all, and always the last one. */
  constructor(changesMax: number, floor: Version) {
    this.#changesMax = changesMax;
    this.#floor = floor;
  }

  add(batch: Batch): void {
    if (batch.reset) this.forget(batch.index);
    else this.#push(batch);
    this.#wake();
  }

  /** Everything up to `index` came by other ways than entries: a snapshot. */
  forget(index: Version): void {
    // One more, so that who had read all of it notices.
    this.#cut += this.#batches.length + 1;
    this.#batches = [];
    this.#forgotten = 0;
    this.#changes = 0;
    this.#floor = index;
  }

  /** Nothing comes any more: readers are told why. */
  end(error: ClusterError): void {
    this.#ended = error;
    this.#wake();
  }

  /**
   * The batches behind `after`, each once and in order, until the signal.
   * @throws ClusterError conflict, ERR_COMPACTED, when some of them are not here (any more)
   */
  async *follow(after: Version, signal: AbortSignal): AsyncGenerator<Batch, void> {
    let seen = after;
    let at = this.#place(after);
    while (!signal.aborted) {
      // The list has moved on past it; but what it missed may be nothing new to it.
      if (at < this.#cut + this.#forgotten) at = this.#place(seen);
      const batch = this.#batches[at - this.#cut];
      if (batch === undefined && this.#ended) throw this.#ended;
      if (batch === undefined) {
        await this.#more(signal);
        continue;
      }
      at++;
      // Whoever resumes may be ahead of this manager.
      if (batch.index <= seen) continue;
      seen = batch.index;
      yield batch;
    }
  }

  /** Number of the first batch behind `after`, counted over all that there ever were. */
  #place(after: Version): number {
    if (after < this.#floor) throw this.#compacted(after);
    let [low, high] = [this.#forgotten, this.#batches.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#batches[middle]?.index ?? 0) <= after) low = middle + 1;
      else high = middle;
    }
    return this.#cut + low;
  }

  #push(batch: Batch): void {
    this.#batches.push(batch);
    this.#changes += batch.changes.length;
    while (this.#changes > this.#changesMax && this.#forgotten < this.#batches.length - 1) {
      const oldest = this.#batches[this.#forgotten] as Batch;
      this.#changes -= oldest.changes.length;
      this.#floor = oldest.index;
      this.#forgotten++;
    }
    if (this.#forgotten * 2 < this.#batches.length) return;
    this.#batches = this.#batches.slice(this.#forgotten);
    this.#cut += this.#forgotten;
    this.#forgotten = 0;
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  async #more(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        this.#waiting.delete(done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  #compacted(after: Version): ClusterError {
    const text = `changes behind version ${after} are not kept any more, only those behind ${this.#floor}: read everything again`;
    return new ClusterError('conflict', text, { code: 'ERR_COMPACTED' });
  }
}
