import { join } from 'node:path';
import { readJson, writeFileAtomic } from '../io/index.ts';
import type { NetworkTable, TaskStatus } from '../model/index.ts';
import type { TaskAssignment } from '../rpc/index.ts';

/** What an agent must know after a restart without any manager. Secrets and configs are not in it. */
export interface TaskRecords {
  readonly tasks: readonly (TaskAssignment & { readonly status: TaskStatus })[];
  readonly networks: readonly NetworkTable[];
  readonly managers: readonly string[];
}

const FILE = 'tasks.json';
const NOTHING: TaskRecords = { tasks: [], networks: [], managers: [] };

/** The node's assignments on disk, so that a restarted agent takes its tasks up again by itself. */
export class TaskDb {
  readonly #file: string;
  #scheduled = false;

  constructor(directory: string) {
    this.#file = join(directory, FILE);
  }

  load(): TaskRecords {
    const records = readJson(this.#file) as Partial<TaskRecords> | undefined;
    return { ...NOTHING, ...records };
  }

  save(records: TaskRecords): void {
    writeFileAtomic(this.#file, JSON.stringify(records), 0o600);
  }

  /** Saves what `records` says at the end of this turn of the event loop, once however often it is asked. */
  saveSoon(records: () => TaskRecords): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.save(records());
    });
  }
}
