import { join } from 'node:path';
import { type Clock, readJson, type Timer, writeFileAtomic } from '../io/index.ts';
import type { TaskStatus } from '../model/index.ts';
import type { TaskAssignment } from '../rpc/index.ts';
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
  #timer: Timer | undefined;

  constructor(file: RecordFile, clock: Clock) {
    this.#file = file;
    this.#clock = clock;
  }

  load(): TaskRecords {
    const records = this.#file.read() as Partial<TaskRecords> | undefined;
    return { ...NOTHING, ...records };
  }

  /** Durable on return. */
  save(records: TaskRecords): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#file.write(records);
  }

  /** Saves what `records` says in a moment, once however often it is asked: a save costs two flushes of the disk. */
  saveSoon(records: () => TaskRecords): void {
    this.#timer ??= this.#clock.after(SAVE_DELAY_MS, () => this.save(records()));
  }
}
