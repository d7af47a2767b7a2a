import type { TaskEngine } from '../engine/index.ts';

/**
 * Renews the lease by which fenced tasks live and start. In a new session not before the leader has said what is to
 * stop: it may have replaced a task that this host has not started yet, and without a lease that cannot start any more.
 */
export class LeaseGate {
  readonly #engine: Pick<TaskEngine, 'renewLease'>;
  #session: object | undefined;
  #open = false;
  #knownAtMs: number | undefined;

  constructor(engine: Pick<TaskEngine, 'renewLease'>) {
    this.#engine = engine;
  }

  /** A session began, or ended. */
  close(session?: object): void {
    this.#session = session;
    this.#open = false;
    this.#knownAtMs = undefined;
  }

  /** The leader of this session said everything. `starts`: still under way, of tasks that are to stop. */
  async openAfter(starts: readonly Promise<void>[], session: object): Promise<void> {
    await Promise.all(starts);
    if (session !== this.#session) return;
    this.#open = true;
    if (this.#knownAtMs !== undefined) this.#engine.renewLease(this.#knownAtMs);
  }

  /** The leader heard this node at that instant or later. */
  known(atMs: number): void {
    if (this.#open) this.#engine.renewLease(atMs);
    else this.#knownAtMs = atMs;
  }
}
