import type { ConfState } from 'raft-js';
import type { Disk, DiskFile } from '../io/index.ts';
import { ClusterError, errorMessage } from '../model/index.ts';
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
   * Keep a snapshot that another member sent, encrypted as the own ones.
   * @throws ClusterError system when it is not whole, or not the one announced
   */
  async receive(
    expected: { readonly index: number; readonly term: number },
    content: Uint8Array,
  ): Promise<void> {
    await this.#create(expected, async (file) => {
      const put = frameWriter(file, this.#codec);
      const head = await readFrames('received', inMemory(content), plainCodec, put);
      this.#check('received', head, expected);
    });
  }

  /**
   * Hand the chunks of a snapshot to `onChunk`, in order. All were verified only when this resolves.
   * @throws ClusterError system when the file is missing, damaged or of another cluster
   */
  async read(
    ref: { readonly index: number; readonly term: number },
    onChunk: (chunk: Uint8Array) => void,
  ): Promise<SnapshotHead> {
    const file = await this.#openFile(ref);
    try {
      const path = this.#path(ref);
      const head = await readFrames(path, file, this.#codec, (type, payload) => {
        if (type === 'snapshotChunk') onChunk(payload);
      });
      this.#check(path, head, ref);
      return head;
    } finally {
      await file.close();
    }
  }

  /** The whole file as it is without encryption, to be sent to another member. */
  async content(ref: { readonly index: number; readonly term: number }): Promise<Uint8Array> {
    const file = await this.#openFile(ref);
    try {
      const parts: Uint8Array[] = [];
      let crc = 0;
      await readFrames(this.#path(ref), file, this.#codec, (type, payload) => {
        const frame = encodeFrame(type, payload, crc);
        parts.push(frame.bytes);
        crc = frame.crc;
      });
      return Buffer.concat(parts);
    } finally {
      await file.close();
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

  async #create(
    ref: { readonly index: number; readonly term: number },
    fill: (file: DiskFile) => Promise<void>,
  ): Promise<void> {
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

  async #openFile(ref: { readonly index: number; readonly term: number }): Promise<DiskFile> {
    try {
      return await this.#disk.open(this.#path(ref), 'read');
    } catch (cause) {
      throw broken(this.#path(ref), 'it cannot be opened', cause);
    }
  }

  #path(ref: { readonly index: number; readonly term: number }): string {
    return `${this.#folder}/${fileName(ref)}`;
  }

  #check(path: string, head: SnapshotHead, ref: { index: number; term: number }): void {
    if (head.clusterId !== this.#identity.clusterId) throw broken(path, 'it is of another cluster');
    if (head.index === ref.index && head.term === ref.term) return;
    throw broken(path, `it is of entry ${head.index} in term ${head.term}`);
  }
}

type PutFrame = (type: Frame['type'], payload: Uint8Array) => Promise<void>;
type FrameSource = Pick<DiskFile, 'pread'>;

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

function inMemory(content: Uint8Array): FrameSource {
  return {
    pread: (offset, length) => Promise.resolve(content.subarray(offset, offset + length)),
  };
}

async function readFrames(
  path: string,
  file: FrameSource,
  codec: FrameCodec,
  onFrame: (type: Frame['type'], payload: Uint8Array) => Promise<void> | void,
): Promise<SnapshotHead> {
  let head: SnapshotHead | undefined;
  let [at, previous, chunks] = [0, 0, 0];
  for (;;) {
    const frame = await readFrame(file, at);
    if (frame === undefined || frame.previous !== previous)
      throw broken(path, `it is damaged at offset ${at}`);
    const payload = decoded(codec, frame, path, at);
    at += frame.end;
    previous = frame.crc;
    await onFrame(frame.type, payload);
    if (frame.type === 'snapshotHead') {
      head = JSON.parse(Buffer.from(payload).toString()) as SnapshotHead;
    } else if (frame.type === 'snapshotChunk') {
      chunks++;
    } else {
      const foot = JSON.parse(Buffer.from(payload).toString()) as Foot;
      if (head === undefined || foot.chunks !== chunks)
        throw broken(path, `it is damaged at offset ${at}: chunks are missing`);
      return head;
    }
  }
}

function decoded(codec: FrameCodec, frame: Frame, path: string, at: number): Uint8Array {
  try {
    return codec.decode(frame.payload);
  } catch (cause) {
    throw broken(path, `it does not decode at offset ${at}: ${errorMessage(cause)}`, cause);
  }
}

async function readFrame(file: FrameSource, at: number): Promise<Frame | undefined> {
  const header = decodeHeader(await file.pread(at, FRAME_HEADER_BYTES));
  if (header === undefined) return undefined;
  return decodeFrame(await file.pread(at, header.totalBytes), 0);
}

function fileName(ref: { readonly index: number; readonly term: number }): string {
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
