import type { ConfState } from 'raft-js';
import type { Disk, DiskFile } from '../io/index.ts';
import { ClusterError, errorMessage, must } from '../model/index.ts';
import { decodeFrame, decodeHeader, encodeFrame, FRAME_HEADER_BYTES, type Frame } from './frame.ts';
import { type FrameCodec, plainCodec } from './frame-codec.ts';
import { hex16 } from './wal-read.ts';
import type { Identity } from './wal-record.ts';

export interface SnapshotHead {
  readonly clusterId: string;
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
}

/** Which snapshot. */
interface SnapshotPoint {
  readonly index: number;
  readonly term: number;
}

interface Foot {
  readonly chunks: number;
}

const NAME = /^([0-9a-f]{16})-([0-9a-f]{16})\.snap$/;
const KEPT = 2;

/**
 * Snapshot files: a head, the content in chunks, a foot, each a frame of one CRC chain. A file has its name only when
 * it is complete and durable; what was damaged afterwards is noticed when it is read.
 */
export class SnapshotFolder {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #identity: Identity;
  readonly #codec: FrameCodec;

  constructor(disk: Disk, folder: string, identity: Identity, codec = plainCodec) {
    this.#disk = disk;
    this.#folder = folder;
    this.#identity = identity;
    this.#codec = codec;
  }

  /** Make the folder and clear away what was not finished. */
  async open(): Promise<void> {
    await this.#disk.mkdir(this.#folder);
    for (const file of await this.#disk.readdir(this.#folder)) {
      if (file.endsWith('.tmp')) await this.#disk.unlink(`${this.#folder}/${file}`);
    }
  }

  /** Write a snapshot, letting other work run between chunks. Durable under its name when this resolves. */
  async write(head: Omit<SnapshotHead, 'clusterId'>, chunks: Iterable<Uint8Array>): Promise<void> {
    const full: SnapshotHead = { clusterId: this.#identity.clusterId, ...head };
    await this.#create(head, async (file) => {
      const put = frameWriter(file, this.#codec);
      await put('snapshotHead', Buffer.from(JSON.stringify(full)));
      let count = 0;
      for (const chunk of chunks) {
        await put('snapshotChunk', chunk);
        count++;
      }
      await put('snapshotFoot', Buffer.from(JSON.stringify({ chunks: count } satisfies Foot)));
    });
  }

  /**
   * Keep a snapshot that another member sends chunk by chunk (see `chunks`), encrypted as the own ones.
   * @throws ClusterError system when it is not whole, or not the one announced
   */
  async receive(ref: SnapshotPoint, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const path = 'that is being received';
    await this.#create(ref, async (file) => {
      const put = frameWriter(file, this.#codec);
      for await (const { type, payload } of verified(path, sentFrames(chunks), plainCodec)) {
        if (type === 'snapshotHead') this.#check(path, headOf(payload), ref);
        await put(type, payload);
      }
    });
  }

  /**
   * Hand the chunks of a snapshot to `onChunk`, in order. All were verified only when this resolves.
   * @throws ClusterError system when the file is missing, damaged or of another cluster
   */
  async read(ref: SnapshotPoint, onChunk: (chunk: Uint8Array) => void): Promise<SnapshotHead> {
    let head: SnapshotHead | undefined;
    for await (const { type, payload } of this.#frames(ref)) {
      if (type === 'snapshotHead') head = headOf(payload);
      if (type === 'snapshotChunk') onChunk(payload);
    }
    return must(head, 'a head');
  }

  /** The file without encryption, in pieces of a few hundred kilobytes, to be sent to another member. */
  async *chunks(ref: SnapshotPoint): AsyncGenerator<Uint8Array> {
    let crc = 0;
    for await (const { type, payload } of this.#frames(ref)) {
      const frame = encodeFrame(type, payload, crc);
      crc = frame.crc;
      yield frame.bytes;
    }
  }

  async count(): Promise<number> {
    const files = await this.#disk.readdir(this.#folder);
    return files.filter((file) => parseName(file) !== undefined).length;
  }

  /** Remove all but the newest two up to `index`; newer ones may be on their way in. */
  async prune(index: number): Promise<void> {
    const files = await this.#disk.readdir(this.#folder);
    const old = files
      .flatMap((file) => parseName(file) ?? [])
      .filter((each) => each.index <= index)
      .sort((left, right) => right.index - left.index)
      .slice(KEPT);
    for (const each of old) await this.#disk.unlink(`${this.#folder}/${fileName(each)}`);
  }

  async *#frames(ref: SnapshotPoint): AsyncGenerator<Content> {
    const file = await this.#openFile(ref);
    try {
      const path = this.#path(ref);
      for await (const content of verified(path, storedFrames(file), this.#codec)) {
        if (content.type === 'snapshotHead') this.#check(path, headOf(content.payload), ref);
        yield content;
      }
    } finally {
      await file.close();
    }
  }

  async #create(ref: SnapshotPoint, fill: (file: DiskFile) => Promise<void>): Promise<void> {
    const path = this.#path(ref);
    const temporary = `${path}.tmp`;
    await this.#disk.unlink(temporary).catch(() => undefined);
    const file = await this.#disk.open(temporary, 'create');
    try {
      await fill(file);
      await file.fdatasync();
    } catch (error) {
      await file.close();
      // On a full disk the part that was written may be all the room there is.
      await this.#disk.unlink(temporary);
      throw error;
    }
    await file.close();
    await this.#disk.rename(temporary, path);
    await this.#disk.fsyncDir(this.#folder);
  }

  async #openFile(ref: SnapshotPoint): Promise<DiskFile> {
    try {
      return await this.#disk.open(this.#path(ref), 'read');
    } catch (cause) {
      throw broken(this.#path(ref), 'it cannot be opened', cause);
    }
  }

  #path(ref: SnapshotPoint): string {
    return `${this.#folder}/${fileName(ref)}`;
  }

  #check(path: string, head: SnapshotHead, ref: SnapshotPoint): void {
    if (head.clusterId !== this.#identity.clusterId) throw broken(path, 'it is of another cluster');
    if (head.index === ref.index && head.term === ref.term) return;
    throw broken(path, `it is of entry ${head.index} in term ${head.term}`);
  }
}

type PutFrame = (type: Frame['type'], payload: Uint8Array) => Promise<void>;

/** A frame without encryption. */
interface Content {
  readonly type: Frame['type'];
  readonly payload: Uint8Array;
}

function frameWriter(file: DiskFile, codec: FrameCodec): PutFrame {
  let at = 0;
  let crc = 0;
  return async (type, payload) => {
    const frame = encodeFrame(type, codec.encode(payload), crc);
    await file.pwrite(at, frame.bytes);
    at += frame.bytes.length;
    crc = frame.crc;
  };
}

/** Frames one after the other; undefined where there should be one and is none. */
type Frames = AsyncIterable<Frame | undefined>;

async function* storedFrames(file: DiskFile): Frames {
  for (let at = 0; ; ) {
    const header = decodeHeader(await file.pread(at, FRAME_HEADER_BYTES));
    const frame = header && decodeFrame(await file.pread(at, header.totalBytes), 0);
    yield frame;
    at += frame?.end ?? 0;
  }
}

async function* sentFrames(chunks: AsyncIterable<Uint8Array>): Frames {
  for await (const chunk of chunks) yield decodeFrame(chunk, 0);
  yield undefined;
}

/**
 * The content of a snapshot, from its head to its foot.
 * @throws ClusterError system, with the offset, unless it is whole and in order
 */
async function* verified(path: string, frames: Frames, codec: FrameCodec): AsyncGenerator<Content> {
  let [at, previous, chunks] = [0, 0, 0];
  for await (const frame of frames) {
    if (frame === undefined || frame.previous !== previous)
      throw broken(path, `it is damaged at offset ${at}`);
    const { type } = frame;
    const payload = decoded(codec, frame, path, at);
    if ((type === 'snapshotHead') !== (at === 0))
      throw broken(path, `it is damaged at offset ${at}: a head is not where it belongs`);
    if (type === 'snapshotFoot') {
      const foot = JSON.parse(Buffer.from(payload).toString()) as Foot;
      if (foot.chunks !== chunks)
        throw broken(path, `it is damaged at offset ${at}: chunks are missing`);
    }
    yield { type, payload };
    if (type === 'snapshotFoot') return;
    if (type === 'snapshotChunk') chunks++;
    at += frame.end;
    previous = frame.crc;
  }
}

function headOf(payload: Uint8Array): SnapshotHead {
  return JSON.parse(Buffer.from(payload).toString()) as SnapshotHead;
}

function decoded(codec: FrameCodec, frame: Frame, path: string, at: number): Uint8Array {
  try {
    return codec.decode(frame.payload);
  } catch (cause) {
    throw broken(path, `it is damaged at offset ${at}: ${errorMessage(cause)}`, cause);
  }
}

function fileName(ref: SnapshotPoint): string {
  return `${hex16(ref.term)}-${hex16(ref.index)}.snap`;
}

function parseName(file: string): { readonly index: number; readonly term: number } | undefined {
  const [, term, index] = NAME.exec(file) ?? [];
  if (term === undefined || index === undefined) return undefined;
  return { term: Number.parseInt(term, 16), index: Number.parseInt(index, 16) };
}

function broken(what: string, why: string, cause?: unknown): ClusterError {
  const options = { code: 'ERR_SNAPSHOT_DAMAGED', cause };
  return new ClusterError('system', `cannot use log snapshot ${what}: ${why}`, options);
}
