import type { Clock, Logger } from '../io/index.ts';
import {
  compareTaskState,
  type DraftTables,
  errorMessage,
  type InstantMs,
  type NodeId,
  reportedStatus,
  type TaskId,
  type TaskStatus,
  updateObject,
} from '../model/index.ts';
import type { TaskStatusReport } from '../rpc/index.ts';
import type { Store } from '../store/index.ts';

/** Where a report came from and goes back to. */
export interface Reporter {
  readonly nodeId: NodeId;
  /** False once a newer session of the node has begun: what this one said may be older than what that one says. */
  isCurrent(): boolean;
  reported(number: number): void;
}

export interface StatusWriterOptions {
  readonly store: Pick<Store, 'update' | 'isLeader' | 'now'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Time between two writes, in which reports gather; after a longer rest a report is written at once. */
  readonly delayMs: number;
}

interface Pending {
  readonly reporter: Reporter;
  number: number;
  readonly statuses: Map<TaskId, TaskStatus>;
}

type NodeReport = TaskStatusReport & { readonly nodeId: NodeId };

const RETRY_MS = 200;
const CHANGES_MAX = 200;
const ENTRIES_AT_ONCE = 8;

/** Writes what agents report into the store, many reports in one entry; answers a report once it is committed. */
export class StatusWriter {
  readonly #options: StatusWriterOptions;
  #pending = new Map<Reporter, Pending>();
  #scheduled = false;
  #writing = false;
  /** When the last write ended. */
  #wroteAt = Number.NEGATIVE_INFINITY;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  add(reporter: Reporter, number: number, statuses: readonly TaskStatusReport[]): void {
    const entry = this.#pending.get(reporter) ?? { reporter, number, statuses: new Map() };
    entry.number = number;
    for (const { taskId, status } of statuses) {
      const known = entry.statuses.get(taskId);
      if (!known || compareTaskState(status.state, known.state) >= 0) {
        entry.statuses.set(taskId, status);
      }
    }
    this.#pending.set(reporter, entry);
    const { clock, delayMs } = this.#options;
    this.#schedule(Math.max(0, this.#wroteAt + delayMs - clock.monotonicMs()));
  }

  #schedule(delayMs: number): void {
    if (this.#scheduled || this.#writing || this.#pending.size === 0) return;
    this.#scheduled = true;
    this.#options.clock.after(delayMs, () => {
      this.#scheduled = false;
      this.#write().catch((error: unknown) => {
        this.#options.log.error('status writer failed', { error });
      });
    });
  }

  async #write(): Promise<void> {
    const { store, log, delayMs } = this.#options;
    const batch = [...this.#pending.values()].filter(({ reporter }) => reporter.isCurrent());
    this.#pending = new Map();
    if (!store.isLeader()) return;
    this.#writing = true;
    let retry = false;
    try {
      const all = batch.flatMap(({ reporter, statuses }) =>
        [...statuses].map(([taskId, status]) => ({ taskId, status, nodeId: reporter.nodeId })),
      );
      for (let at = 0; at < all.length; at += CHANGES_MAX * ENTRIES_AT_ONCE) {
        await this.#writeAtOnce(all.slice(at, at + CHANGES_MAX * ENTRIES_AT_ONCE));
      }
      for (const { reporter, number } of batch) reporter.reported(number);
    } catch (error) {
      log.warn('task statuses not written', { error: errorMessage(error) });
      this.#putBack(batch);
      retry = true;
    } finally {
      this.#writing = false;
      this.#wroteAt = this.#options.clock.monotonicMs();
    }
    this.#schedule(retry ? RETRY_MS : delayMs);
  }

  /** In several entries, which share the way to the others and their disks. */
  async #writeAtOnce(reports: readonly NodeReport[]): Promise<void> {
    const { store } = this.#options;
    const entries: Promise<unknown>[] = [];
    for (let at = 0; at < reports.length; at += CHANGES_MAX) {
      const part = reports.slice(at, at + CHANGES_MAX);
      const work = (draft: DraftTables): void => applyStatuses(draft, part, store.now());
      entries.push(store.update(work, { asLeader: true }));
    }
    await Promise.all(entries);
  }

  /** Newer reports that came meanwhile stay on top. */
  #putBack(batch: readonly Pending[]): void {
    for (const old of batch) {
      const newer = this.#pending.get(old.reporter);
      for (const [taskId, status] of newer?.statuses ?? []) old.statuses.set(taskId, status);
      if (newer) old.number = newer.number;
      this.#pending.set(old.reporter, old);
    }
  }
}

/**
 * A report counts when the task is on that node and it does not move the state left (promise S3). States are stamped
 * with the leader's time: deciders compare them with it, and the clocks of nodes differ.
 */
function applyStatuses(draft: DraftTables, reports: readonly NodeReport[], now: InstantMs): void {
  for (const { taskId, nodeId, status: reported } of reports) {
    const task = draft.get('task', taskId);
    if (!task || task.nodeId !== nodeId) continue;
    const status = reportedStatus(task, reported);
    const order = compareTaskState(status.state, task.status.state);
    if (order < 0 || (order === 0 && sameStatus(status, task.status))) continue;
    const at = order === 0 ? task.status.at : now;
    draft.add(updateObject('task', { ...task, status: { ...status, at } }));
  }
}

function sameStatus(left: TaskStatus, right: TaskStatus): boolean {
  return (
    left.message === right.message &&
    left.error === right.error &&
    left.containerId === right.containerId &&
    left.pid === right.pid &&
    left.exitCode === right.exitCode &&
    JSON.stringify(left.hostPorts ?? []) === JSON.stringify(right.hostPorts ?? [])
  );
}
