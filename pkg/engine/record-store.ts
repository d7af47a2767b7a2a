import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Logger, Timer } from '../io/index.ts';
import { errorMessage } from '../model/index.ts';
import type { ContainerRecord } from './record.ts';

const RETRY_MS = 1_000;

/** `<directory>/<id>/config.json` and what else belongs to a container: its log, hosts, hostname, resolv.conf. */
export class RecordStore {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #writes = new Map<string, Promise<void>>();
  /** Of records that the disk did not take. */
  readonly #retries = new Map<string, Timer>();

  constructor(directory: string, { log, clock }: { readonly log: Logger; readonly clock: Clock }) {
    this.#directory = directory;
    this.#log = log;
    this.#clock = clock;
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

  /**
   * For what has happened whether it can be written or not: a disk that takes nothing is tried again until it does.
   * Resolves after the first try.
   */
  async keep(container: { readonly record: ContainerRecord }): Promise<void> {
    const { id } = container.record;
    const again = this.#retries.get(id);
    try {
      await this.save(container.record);
      if (this.#retries.get(id) === again) this.#forgetRetry(id);
    } catch (error) {
      if (!again) {
        const said = { container: id, error: errorMessage(error) };
        this.#log.error('container state not kept on disk', said);
      }
      this.#forgetRetry(id);
      this.#retries.set(
        id,
        this.#clock.after(RETRY_MS, () => void this.keep(container)),
      );
    }
  }

  /** What is not on disk by now stays as it is there. */
  close(): void {
    for (const id of [...this.#retries.keys()]) this.#forgetRetry(id);
  }

  #forgetRetry(id: string): void {
    this.#retries.get(id)?.cancel();
    this.#retries.delete(id);
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
    this.#forgetRetry(id);
    await rm(this.path(id, ''), { recursive: true, force: true });
  }
}
