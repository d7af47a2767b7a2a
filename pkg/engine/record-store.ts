import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../io/index.ts';
import { errorMessage } from '../model/index.ts';
import type { ContainerRecord } from './record.ts';

/** `<directory>/<id>/config.json` and what else belongs to a container: its log, hosts, hostname, resolv.conf. */
export class RecordStore {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #writes = new Map<string, Promise<void>>();

  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /** All records; directories without a readable one are the remains of a crash and are removed. */
  async load(): Promise<readonly ContainerRecord[]> {
    await mkdir(this.#directory, { recursive: true, mode: 0o710 });
    const records: ContainerRecord[] = [];
    for (const id of (await readdir(this.#directory)).sort()) {
      try {
        const text = await readFile(join(this.#directory, id, 'config.json'), 'utf8');
        records.push(JSON.parse(text) as ContainerRecord);
      } catch (error) {
        this.#log.warn('half-made container removed', {
          container: id,
          error: errorMessage(error),
        });
        await rm(join(this.#directory, id), { recursive: true, force: true });
      }
    }
    return records;
  }

  path(id: string, file: string): string {
    return join(this.#directory, id, file);
  }

  logPath(id: string): string {
    return this.path(id, `${id}-json.log`);
  }

  /** Durable when it resolves; writes of one container keep their order. */
  save(record: ContainerRecord): Promise<void> {
    const before = this.#writes.get(record.id) ?? Promise.resolve();
    const write = before.catch(() => undefined).then(() => this.#write(record));
    this.#writes.set(record.id, write);
    const forget = (): void => {
      if (this.#writes.get(record.id) === write) this.#writes.delete(record.id);
    };
    write.then(forget, forget);
    return write;
  }

  async #write(record: ContainerRecord): Promise<void> {
    const target = this.path(record.id, 'config.json');
    await mkdir(this.path(record.id, ''), { recursive: true, mode: 0o710 });
    const file = await open(`${target}.tmp`, 'w', 0o600);
    try {
      await file.writeFile(JSON.stringify(record));
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(`${target}.tmp`, target);
  }

  async remove(id: string): Promise<void> {
    await this.#writes.get(id)?.catch(() => undefined);
    await rm(this.path(id, ''), { recursive: true, force: true });
  }
}
