import { hasCode } from 'raft-js';
import type { Logger } from '../io/index.ts';
import type { Tuning } from './contract.ts';
import type { Recovered } from './recovery.ts';
import type { Replica } from './replica.ts';

export interface SnapshotterOptions {
  readonly recovered: Recovered;
  readonly replica: () => Replica;
  readonly tuning: Tuning;
  readonly logger: Logger;
}

const PAUSE_SHARE = 20;
/** A snapshot up to this size is written in a moment. */
const SMALL_BYTES = 4 * 1024 * 1024;

/** Takes a snapshot of this member's own state when the log grew enough, and lets go of what it covers. */
export class Snapshotter {
  readonly #options: SnapshotterOptions;
  #index: number;
  /** The one before: its file and the log behind it are the fallback. */
  #previousIndex = 0;
  /** Of the log since the newest snapshot. */
  #bytes: number;
  /** Of the newest snapshot taken here. */
  #size = 0;
  #running: Promise<void> | undefined;
  /** One failed: the next attempt only behind this entry. */
  #pausedTo = 0;

  constructor(options: SnapshotterOptions) {
    this.#options = options;
    this.#index = options.recovered.snapshotIndex;
    this.#bytes = options.recovered.storage.bytes;
  }

  /** An entry of this size was applied. */
  applied(bytes: number): void {
    this.#bytes += bytes;
    const { tuning, recovered } = this.#options;
    const { index } = recovered.machine.view;
    if (index < this.#pausedTo) return;
    const entries = index - this.#index;
    // A large one only when as much was logged: otherwise a large store would write itself again and again.
    const worthIt = this.#size <= SMALL_BYTES || this.#bytes >= this.#size;
    const due = entries >= tuning.snapshotEntries && worthIt;
    if (due || this.#bytes >= tuning.snapshotBytes) this.take();
  }

  /** A snapshot of the leader is in force. */
  installed(index: number): void {
    this.#covers(index);
  }

  /** Take one now, unless one is being taken. */
  take(): void {
    this.#running ??= this.#take()
      .catch((error: unknown) => {
        // The log still has everything: not having the snapshot costs time at the next start, nothing else.
        const { logger, recovered, tuning } = this.#options;
        this.#pausedTo = recovered.machine.view.index + tuning.snapshotEntries / PAUSE_SHARE;
        logger.error('cannot take a log snapshot', { error });
      })
      .finally(() => {
        this.#running = undefined;
      });
  }

  async settled(): Promise<void> {
    await this.#running;
  }

  async #take(): Promise<void> {
    const { recovered, replica, tuning, logger } = this.#options;
    const { machine, storage, snapshots, wal } = recovered;
    const index = machine.view.index;
    if (index <= this.#index) return;
    const point = { index, term: storage.term(index), confState: replica().confState };
    const parts = machine.snapshot();
    this.#bytes = 0;
    await snapshots.write(point, this.#measured(parts));
    await replica().writer.flush({ index, term: point.term, installed: false });
    try {
      storage.note(point);
    } catch (error) {
      if (hasCode(error, 'ErrSnapOutOfDate')) return;
      throw error;
    }
    this.#covers(index);
    storage.compact(index, tuning.trailingEntries, tuning.logBytesMax / 2);
    await wal.release(this.#previousIndex);
    await snapshots.prune(index);
    logger.debug('log snapshot taken', { index });
  }

  *#measured(parts: Iterable<Uint8Array>): Iterable<Uint8Array> {
    this.#size = 0;
    for (const part of parts) {
      this.#size += part.length;
      yield part;
    }
  }

  #covers(index: number): void {
    this.#previousIndex = this.#index;
    this.#index = index;
  }
}
