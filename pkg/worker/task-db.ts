import { join } from 'node:path';
import { type Clock, type Logger, readJson, type Timer, writeFileAtomic } from '../io/index.ts';
import {
  errorMessage,
  type NetworkId,
  type NetworkTable,
  type TaskStatus,
} from '../model/index.ts';
import type { AssignmentChanges, TaskAssignment } from '../rpc/index.ts';
import { type TableFile, TableJournal } from './table-journal.ts';

/** What an agent must know after a restart without any manager. Secrets and configs are not in it. */
export interface TaskRecords {
  readonly tasks: readonly (TaskAssignment & { readonly status: TaskStatus })[];
  readonly managers: readonly string[];
  /** Heard of before those: whoever missed a change of the managers may find one of them still. */
  readonly formerManagers: readonly string[];
}

const FILE = 'tasks.json';
const SAVE_DELAY_MS = 50;
const RETRY_MS = 1_000;
type Tables = ReadonlyMap<NetworkId, NetworkTable>;

const NOTHING: TaskRecords = { tasks: [], managers: [], formerManagers: [] };

/** One JSON file, and the network tables beside it. */
export interface RecordFile {
  readonly tables: TableFile;
  /** Undefined when nothing was written yet. */
  read(): unknown;
  /** Durable on return. */
  write(records: unknown): void;
}

export function recordFile(directory: string): RecordFile {
  const path = join(directory, FILE);
  return {
    tables: new TableJournal(directory),
    read: () => readJson(path),
    write: (records) => writeFileAtomic(path, JSON.stringify(records), 0o600),
  };
}

/** The node's assignments on disk, so that a restarted agent takes its tasks up again by itself. */
export class TaskDb {
  readonly #file: RecordFile;
  readonly #clock: Clock;
  readonly #log: Logger;
  #timer: Timer | undefined;
  /** What is to be saved when the timer rings. */
  #due: (() => TaskRecords) | undefined;
  /** The disk did not take what it was given last. */
  #failed = false;
  /** Tables that are not on disk. */
  #unkept: Tables | undefined;

  constructor(file: RecordFile, { clock, log }: { readonly clock: Clock; readonly log: Logger }) {
    this.#file = file;
    this.#clock = clock;
    this.#log = log;
  }

  load(): TaskRecords {
    const records = this.#file.read() as Partial<TaskRecords> | undefined;
    return { ...NOTHING, ...records };
  }

  /**
   * What the networks are now, before the kernel has them.
   * @param changes what led there from the tables kept last
   */
  keepTables(tables: Tables, changes?: AssignmentChanges): void {
    const whole = this.#unkept !== undefined;
    this.#unkept = tables;
    this.#try(() => this.#keepTables(whole ? undefined : changes));
  }

  /** Whether there are tables that the disk did not take: the next save tries again. */
  get isBehind(): boolean {
    return this.#unkept !== undefined;
  }

  /** Durable on return, if the disk takes it: whether it does. */
  save(records: TaskRecords): boolean {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#due = undefined;
    return this.#try(() => {
      if (this.#unkept !== undefined) this.#keepTables();
      this.#file.write(records);
    });
  }

  /**
   * Saves what `records` says in a moment, once however often it is asked: a save costs two flushes of the disk. Until
   * the disk takes it.
   */
  saveSoon(records: () => TaskRecords): void {
    this.#due ??= records;
    this.#timer ??= this.#clock.after(this.#failed ? RETRY_MS : SAVE_DELAY_MS, () => {
      if (!this.save(records())) this.saveSoon(records);
    });
  }

  /** What `saveSoon` was given last is durable on return, if the disk takes it. */
  saveIfDue(): void {
    const records = this.#due;
    if (records !== undefined && !this.save(records())) this.saveSoon(records);
  }

  #keepTables(changes?: AssignmentChanges): void {
    if (this.#unkept !== undefined) this.#file.tables.keep(this.#unkept, changes);
    this.#unkept = undefined;
  }

  /** A full disk stops neither tasks nor networks. Said once. */
  #try(write: () => void): boolean {
    try {
      write();
      this.#failed = false;
    } catch (error) {
      const said = { error: errorMessage(error) };
      if (!this.#failed) this.#log.error('tasks and networks not kept on disk', said);
      this.#failed = true;
    }
    return !this.#failed;
  }
}
