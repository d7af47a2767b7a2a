import type { ConfState, HardState, Message } from 'raft-js';
import { ClusterError, type Version } from '../model/index.ts';
import type { Recovered } from './recovery.ts';
import type { SnapshotRef, WalRecord } from './wal-record.ts';

export interface LogWriterOptions {
  readonly recovered: Recovered;
  /** These messages' promises are durable now. */
  readonly onDone: (responses: readonly Message[]) => void;
  /** A snapshot from the leader is durable and in memory. */
  readonly onInstalled: (confState: ConfState, index: Version) => void;
  readonly onFatal: (error: unknown) => void;
}

type Job =
  | { readonly kind: 'append'; readonly message: Message }
  | {
      readonly kind: 'own';
      readonly ref: SnapshotRef | undefined;
      /** Nothing new is promised by it: it stands apart, and protects what is before. */
      readonly apart: boolean;
      readonly done: () => void;
      readonly failed: (error: unknown) => void;
    };

/**
 * Writes what the core asks for, in order. All that arrives while one fdatasync is in flight goes into the next one:
 * group commit. An error is the end: a failed fdatasync must not be repeated, the kernel may have dropped the pages.
 */
export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly #jobs: Job[] = [];
  #running: Promise<void> | undefined;
  #closed = false;
  #failed = false;
  #hardState: HardState;
  /** The hard state on disk. A newer commit index alone waits for the next write: it can be learnt again. */
  #durable: HardState;
  /** The log ends in something that was promised: damage to it could be taken for an unfinished write. */
  #exposed = true;

  constructor(options: LogWriterOptions) {
    this.#options = options;
    this.#hardState = options.recovered.storage.hardState;
    this.#durable = this.#hardState;
  }

  /** Take a MsgStorageAppend. */
  add(message: Message): void {
    this.#push({ kind: 'append', message });
  }

  /** Record a snapshot whose file is durable; without one, only make the newest commit index durable. */
  flush(ref?: SnapshotRef): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed) reject(new ClusterError('unavailable', 'the log is closed'));
      else this.#push({ kind: 'own', ref, apart: false, done: resolve, failed: reject });
    });
  }

  /**
   * Make a commit index durable that waits for a write that does not come, and what was written last recognisable: to
   * be called now and then.
   */
  settle(): void {
    if (this.#closed || this.#jobs.length > 0 || this.#running !== undefined) return;
    if (!this.#exposed && this.#hardState.commit === this.#durable.commit) return;
    const ignore = (): void => undefined;
    this.#push({ kind: 'own', ref: undefined, apart: true, done: ignore, failed: ignore });
  }

  /** Finish what was taken, and close the log. After an error there is nothing left to finish. */
  async close(): Promise<void> {
    if (this.#closed) return;
    const { wal } = this.#options.recovered;
    await wal.giveUpWaiting();
    const flushed = this.flush();
    this.#closed = true;
    await flushed.catch(() => undefined);
    await this.#running;
    if (!this.#failed) await wal.close();
  }

  #push(job: Job): void {
    if (this.#closed) return;
    this.#jobs.push(job);
    this.#running ??= this.#drain().finally(() => {
      this.#running = undefined;
    });
  }

  async #drain(): Promise<void> {
    let batch: readonly Job[] = [];
    try {
      // Let the rest of this turn's work join the first write.
      await Promise.resolve();
      while (this.#jobs.length > 0) {
        batch = this.#takeBatch();
        await this.#write(batch);
      }
    } catch (error) {
      this.#closed = true;
      this.#failed = true;
      for (const job of [...batch, ...this.#jobs]) if (job.kind === 'own') job.failed(error);
      this.#options.onFatal(error);
    }
  }

  /** Up to the next received snapshot, which goes alone. */
  #takeBatch(): readonly Job[] {
    const at = this.#jobs.findIndex((job) => job.kind === 'append' && job.message.snapshot != null);
    const count = at < 0 ? this.#jobs.length : Math.max(at, 1);
    return this.#jobs.splice(0, count);
  }

  async #write(jobs: readonly Job[]): Promise<void> {
    const { wal, storage } = this.#options.recovered;
    const [first] = jobs;
    if (first?.kind === 'append' && first.message.snapshot != null) {
      await this.#install(first.message);
      return;
    }
    const records = jobs.flatMap((job) => this.#recordsOf(job));
    const own = jobs.some((job) => job.kind === 'own');
    const { term, vote } = this.#hardState;
    const voted = term !== this.#durable.term || vote !== this.#durable.vote;
    if (records.length > 0 || voted || own) {
      const apart = jobs.every((job) => job.kind === 'own' && job.apart);
      await wal.commit([...records, { kind: 'hardState', hardState: this.#hardState }], apart);
      this.#durable = this.#hardState;
      this.#exposed = !apart;
    }
    for (const record of records) {
      if (record.kind === 'entries') storage.append(record.entries);
    }
    storage.setHardState(this.#hardState);
    this.#finish(jobs);
  }

  #recordsOf(job: Job): readonly WalRecord[] {
    if (job.kind === 'own') {
      if (job.ref === undefined) return [];
      this.#raiseCommit(job.ref.index);
      return [{ kind: 'snapshot', ref: job.ref }];
    }
    const { entries, term, vote, commit } = job.message;
    if (term !== undefined) {
      this.#hardState = { term, vote: vote ?? 0, commit: this.#hardState.commit };
      this.#raiseCommit(commit ?? 0);
    }
    return entries && entries.length > 0 ? [{ kind: 'entries', entries }] : [];
  }

  async #install(message: Message): Promise<void> {
    const { wal, storage, machine, snapshots } = this.#options.recovered;
    const { index = 0, term = 0 } = message.snapshot ?? {};
    const restore = machine.beginRestore();
    const { confState } = await snapshots.read({ index, term }, restore.add);
    const ref = { index, term, installed: true };
    const records = [
      { kind: 'snapshot', ref } as const,
      ...this.#recordsOf({ kind: 'append', message }),
    ];
    this.#raiseCommit(index);
    await wal.commit([...records, { kind: 'hardState', hardState: this.#hardState }]);
    this.#durable = this.#hardState;
    this.#exposed = true;
    storage.install({ index, term, confState });
    storage.append(message.entries ?? []);
    storage.setHardState(this.#hardState);
    restore.finish();
    this.#options.onInstalled(confState, index as Version);
    this.#finish([{ kind: 'append', message }]);
  }

  #finish(jobs: readonly Job[]): void {
    const responses: Message[] = [];
    for (const job of jobs) {
      if (job.kind === 'own') job.done();
      else responses.push(...(job.message.responses ?? []));
    }
    this.#options.onDone(responses);
  }

  #raiseCommit(commit: number): void {
    if (commit > this.#hardState.commit) this.#hardState = { ...this.#hardState, commit };
  }
}
