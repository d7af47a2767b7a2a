import { type FileHandle, open, stat } from 'node:fs/promises';
import type { LogOptions, LogRecord } from './runtime.ts';
import { errorCode } from './status.ts';

// A record: u32 length, u8 stream, u8 partial, u16 0, u64 ns, text, u32 length; big endian (init/shim.c).
const HEADER = 16;
const TRAILER = 4;
/** A line is at most 16 KiB; anything longer is not a record. */
const MAX_TEXT = 16 * 1024;
const CHUNK = 256 * 1024;

/** Parses the record at the start of the bytes; undefined when it is not whole (yet), or damaged. Pure. */
export function parseLogRecord(
  bytes: Buffer,
): { readonly record: LogRecord; readonly size: number } | undefined {
  if (bytes.length < HEADER) return undefined;
  const length = bytes.readUInt32BE(0);
  if (length > MAX_TEXT) return undefined;
  const size = HEADER + length + TRAILER;
  if (bytes.length < size) return undefined;
  const record: LogRecord = {
    timeNs: bytes.readBigUInt64BE(8),
    stream: bytes.readUInt8(4) === 2 ? 'stderr' : 'stdout',
    data: bytes.subarray(HEADER, HEADER + length),
    partial: bytes.readUInt8(5) === 1,
  };
  return { record, size };
}

/** A set of rotated files open for reading, oldest first. Reading goes on from file to file as the shim rotates. */
export class LogCursor {
  readonly #path: string;
  #file: FileHandle | undefined;
  #inode = 0;
  #offset = 0;
  #rest: Buffer = Buffer.alloc(0);

  constructor(path: string) {
    this.#path = path;
  }

  /** Everything that can be read now; resumes where the last call ended. */
  async *read(): AsyncGenerator<LogRecord> {
    if (!this.#file && !(await this.#openOldest())) return;
    for (;;) {
      yield* this.#readFile();
      if (!(await this.#openNext())) return;
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  async *#readFile(): AsyncGenerator<LogRecord> {
    const chunk = Buffer.alloc(CHUNK);
    for (;;) {
      const { bytesRead } = (await this.#file?.read(chunk, 0, CHUNK, this.#offset)) ?? {
        bytesRead: 0,
      };
      if (bytesRead === 0) return;
      this.#offset += bytesRead;
      let bytes = Buffer.concat([this.#rest, chunk.subarray(0, bytesRead)]);
      for (let next = parseLogRecord(bytes); next; next = parseLogRecord(bytes)) {
        bytes = bytes.subarray(next.size);
        this.#rest = bytes;
        // A copy, so that a record that is kept does not keep the whole chunk.
        yield { ...next.record, data: Buffer.from(next.record.data) };
      }
      this.#rest = bytes;
    }
  }

  async #openOldest(): Promise<boolean> {
    const inodes = await this.#inodes();
    return this.#openAt(inodes.length - 1, inodes);
  }

  /**
   * Starts at the last `count` wanted records no older than `since`, found from the end backwards; call it before
   * `read`. Without it reading starts with the oldest record.
   */
  async seek(count: number, since: bigint, wanted: (record: LogRecord) => boolean): Promise<void> {
    let left = count;
    for (let index = 0; ; index++) {
      const file = await open(name(this.#path, index), 'r').catch(ignoreMissing);
      if (!file) return;
      const { ino } = await file.stat();
      if (ino === this.#inode) {
        await file.close(); // it was rotated while we looked: this is the one we have
        continue;
      }
      await this.#file?.close();
      this.#file = file;
      this.#inode = ino;
      const found = await seekBackwards(file, left, since, wanted);
      this.#offset = found.offset;
      left = found.left;
      if (found.done) return;
    }
  }

  /** The file after the one just read to its end; false when that is still the newest. */
  async #openNext(): Promise<boolean> {
    const newest = await stat(this.#path).catch(ignoreMissing);
    if (!newest || newest.ino === this.#inode) return false;
    const inodes = await this.#inodes();
    const at = inodes.indexOf(this.#inode);
    if (at === 0 || inodes.length === 0) return false;
    // Rotated away while we read: every file that is left is newer.
    return this.#openAt(at < 0 ? inodes.length - 1 : at - 1, inodes);
  }

  async #openAt(index: number, inodes: readonly number[]): Promise<boolean> {
    const inode = inodes[index];
    if (inode === undefined) return false;
    const file = await open(name(this.#path, index), 'r').catch(ignoreMissing);
    if (!file) return false;
    // What was appended between the last read and the rotation is still in the old file.
    if (this.#file) {
      const { size } = await this.#file.stat();
      if (size > this.#offset) {
        await file.close();
        return true;
      }
      await this.#file.close();
    }
    this.#file = file;
    this.#inode = (await file.stat()).ino;
    this.#offset = 0;
    this.#rest = Buffer.alloc(0);
    return true;
  }

  /** Inode numbers, newest file first. */
  async #inodes(): Promise<readonly number[]> {
    const inodes: number[] = [];
    for (let i = 0; ; i++) {
      const found = await stat(name(this.#path, i)).catch(ignoreMissing);
      if (!found) return inodes;
      inodes.push(found.ino);
    }
  }
}

interface Found {
  /** Where to start reading. */
  readonly offset: number;
  readonly left: number;
  /** Nothing before this is wanted. */
  readonly done: boolean;
}

/** Walks a file from its end by the length behind each record. Damage ends the walk: what is behind it is lost. */
async function seekBackwards(
  file: FileHandle,
  count: number,
  since: bigint,
  wanted: (record: LogRecord) => boolean,
): Promise<Found> {
  const chunk = Buffer.alloc(CHUNK);
  let offset = (await file.stat()).size;
  let left = count;
  for (;;) {
    const from = Math.max(0, offset - CHUNK);
    const { bytesRead } = await file.read(chunk, 0, offset - from, from);
    let end = bytesRead;
    for (let last = lastRecord(chunk, end); last; last = lastRecord(chunk, end)) {
      if (left === 0 || last.record.timeNs < since) return { offset: from + end, left, done: true };
      if (wanted(last.record)) left--;
      end -= last.size;
    }
    if (from === 0 || end === bytesRead) return { offset: from + end, left, done: left === 0 };
    offset = from + end;
  }
}

function lastRecord(bytes: Buffer, end: number): ReturnType<typeof parseLogRecord> {
  if (end < HEADER + TRAILER) return undefined;
  const size = HEADER + bytes.readUInt32BE(end - TRAILER) + TRAILER;
  const parsed = size <= end ? parseLogRecord(bytes.subarray(end - size, end)) : undefined;
  return parsed?.size === size ? parsed : undefined;
}

function name(path: string, index: number): string {
  return index === 0 ? path : `${path}.${index}`;
}

function ignoreMissing(error: unknown): undefined {
  if (errorCode(error) === 'ENOENT') return undefined;
  throw error;
}

/** Whether a record is wanted by stream and time. Pure. */
export function logWants(options: LogOptions): (record: LogRecord) => boolean {
  const { since, until, stdout = true, stderr = true } = options;
  return (record) =>
    (record.stream === 'stdout' ? stdout : stderr) &&
    (since === undefined || record.timeNs >= since) &&
    (until === undefined || record.timeNs <= until);
}
