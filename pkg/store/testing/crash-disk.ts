import { type Disk, type DiskFile, type OpenMode, systemDisk } from '../../io/index.ts';

interface Undo {
  readonly offset: number;
  readonly before: Uint8Array;
}

/**
 * A real disk that can lose power: writes that were not yet followed by an fdatasync are taken back, and nothing that is
 * still under way has an effect any more.
 */
export class CrashDisk implements Disk {
  readonly #files = new Set<CrashFile>();
  #dead = false;
  /** Fails every fdatasync from now on. */
  failSyncs = false;

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    await this.check();
    const file = new CrashFile(this, await systemDisk.open(path, mode));
    this.#files.add(file);
    return file;
  }

  async readdir(folder: string): Promise<readonly string[]> {
    await this.check();
    return systemDisk.readdir(folder);
  }

  async mkdir(folder: string): Promise<void> {
    await this.check();
    await systemDisk.mkdir(folder);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.check();
    await systemDisk.rename(from, to);
  }

  async unlink(path: string): Promise<void> {
    await this.check();
    await systemDisk.unlink(path);
  }

  async fsyncDir(folder: string): Promise<void> {
    await this.check();
    await systemDisk.fsyncDir(folder);
  }

  async crash(): Promise<void> {
    this.#dead = true;
    for (const file of this.#files) await file.revert();
    this.#files.clear();
  }

  /** A dead disk never answers. */
  async check(): Promise<void> {
    if (this.#dead) await new Promise<never>(() => undefined);
  }
}

class CrashFile implements DiskFile {
  readonly #disk: CrashDisk;
  readonly #file: DiskFile;
  #undo: Undo[] = [];
  /** The write under way; a crash waits for it before it takes it back. */
  #busy: Promise<void> = Promise.resolve();

  constructor(disk: CrashDisk, file: DiskFile) {
    this.#disk = disk;
    this.#file = file;
  }

  async pread(offset: number, length: number): Promise<Uint8Array> {
    await this.#disk.check();
    return this.#file.pread(offset, length);
  }

  async pwrite(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#disk.check();
    const write = async (): Promise<void> => {
      this.#undo.push({ offset, before: await this.#file.pread(offset, bytes.length) });
      await this.#file.pwrite(offset, bytes);
    };
    const busy = write();
    this.#busy = busy.catch(() => undefined);
    await busy;
    await this.#disk.check();
  }

  async fdatasync(): Promise<void> {
    await this.#disk.check();
    if (this.#disk.failSyncs) throw new Error('EIO: i/o error, fdatasync');
    await this.#file.fdatasync();
    await this.#disk.check();
    this.#undo = [];
  }

  async truncate(size: number): Promise<void> {
    await this.#disk.check();
    await this.#file.truncate(size);
  }

  async allocate(size: number): Promise<void> {
    await this.#disk.check();
    await this.#file.allocate(size);
  }

  async size(): Promise<number> {
    await this.#disk.check();
    return this.#file.size();
  }

  async close(): Promise<void> {
    await this.#disk.check();
    await this.#file.close();
    this.#undo = [];
  }

  async revert(): Promise<void> {
    await this.#busy;
    for (const { offset, before } of this.#undo.reverse()) await this.#file.pwrite(offset, before);
    await this.#file.close().catch(() => undefined);
  }
}
