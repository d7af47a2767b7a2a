import { constants, write } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, unlink } from 'node:fs/promises';

/** `read` opens what exists; `write` what exists, for reading and writing; `create` makes it and fails if it exists. */
export type OpenMode = 'read' | 'write' | 'create';

/** An open file. Offsets and sizes in bytes. Nothing is durable before `fdatasync` returned. */
export interface DiskFile {
  /** As many bytes as there are, up to `length`: short only at the end of the file. */
  pread(offset: number, length: number): Promise<Uint8Array>;
  /** All of `bytes`, or an error after which the content of that range is unknown. */
  pwrite(offset: number, bytes: Uint8Array): Promise<void>;
  /** Content, size and what is needed to read them back are durable. After an error never trust the file again. */
  fdatasync(): Promise<void>;
  /**
   * `pwrite` and `fdatasync` of what it wrote, in one step. A disk under test leaves it out: it wants to fail between
   * the two.
   */
  writeDurably?(offset: number, bytes: Uint8Array): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Extend with zeros that occupy real blocks, so that overwriting them later needs no change of metadata. */
  allocate(size: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

/** The file system as far as durable state needs it; replaced by one that loses writes in simulation. */
export interface Disk {
  open(path: string, mode: OpenMode): Promise<DiskFile>;
  /** Names in the folder, sorted by byte order. */
  readdir(folder: string): Promise<readonly string[]>;
  /** With all parents; nothing happens when it exists. */
  mkdir(folder: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Makes creations, renames and removals in `folder` durable. */
  fsyncDir(folder: string): Promise<void>;
}

const FLAGS: Readonly<Record<OpenMode, number>> = {
  read: constants.O_RDONLY,
  write: constants.O_RDWR,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
};

const DURABLE = constants.O_WRONLY | constants.O_DSYNC;
const ZEROS_BYTES = 1024 * 1024;

export const systemDisk: Disk = {
  open: async (path, mode) => new SystemFile(await open(path, FLAGS[mode], 0o600)),
  readdir: async (folder) => (await readdir(folder)).sort(),
  mkdir: async (folder) => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  },
  rename,
  unlink,
  fsyncDir: async (folder) => {
    const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};

class SystemFile implements DiskFile {
  readonly #handle: FileHandle;
  /** The same file once more, where each write waits for the disk. */
  #durable: FileHandle | undefined;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async pread(offset: number, length: number): Promise<Uint8Array> {
    const buffer = Buffer.alloc(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.#handle.read(buffer, done, length - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return buffer.subarray(0, done);
  }

  async pwrite(offset: number, bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      const left = bytes.length - done;
      const { bytesWritten } = await this.#handle.write(bytes, done, left, offset + done);
      done += bytesWritten;
    }
  }

  async fdatasync(): Promise<void> {
    await this.#handle.datasync();
  }

  async writeDurably(offset: number, bytes: Uint8Array): Promise<void> {
    this.#durable ??= await open(`/proc/self/fd/${this.#handle.fd}`, DURABLE);
    const { fd } = this.#durable;
    let done = 0;
    while (done < bytes.length) done += await writeAt(fd, bytes.subarray(done), offset + done);
  }

  async truncate(size: number): Promise<void> {
    await this.#handle.truncate(size);
  }

  async allocate(size: number): Promise<void> {
    const zeros = new Uint8Array(Math.min(ZEROS_BYTES, size));
    for (let at = await this.size(); at < size; at += zeros.length) {
      await this.pwrite(at, zeros.subarray(0, Math.min(zeros.length, size - at)));
    }
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  async close(): Promise<void> {
    await this.#durable?.close();
    await this.#handle.close();
  }
}

/** With a callback: the promises of `node:fs` cost as much again. */
function writeAt(fd: number, bytes: Uint8Array, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, 0, bytes.length, offset, (error, written) => {
      if (error) reject(error);
      else resolve(written);
    });
  });
}
