import { dirname } from 'node:path';
import type { HardState } from 'raft-js';
import type { Clock, Disk, DiskFile, Logger } from '../io/index.ts';
import { ClusterError, errorMessage, must } from '../model/index.ts';
import { encodeFrame, nextPage } from './frame.ts';
import { type FrameCodec, plainCodec } from './frame-codec.ts';
import { isFull, SegmentSupply } from './segment-supply.ts';
import { readSegments, type SegmentContent, segmentFile } from './wal-read.ts';
import { encodeRecords, type Identity, type SnapshotRef, type WalRecord } from './wal-record.ts';

export interface WalOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly identity: Identity;
  readonly segmentBytes: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The disk has no room for more log; undefined when it has again. */
  readonly onFull?: ((problem: ClusterError | undefined) => void) | undefined;
  readonly codec?: FrameCodec | undefined;
}

interface Segment {
  readonly sequence: number;
  readonly file: string;
  /** Largest index of an entry in it: the segment can go when no entry up to it is needed. */
  lastIndex: number;
}

/** A larger file is a longer number in its head. */
const HEAD_SLACK_BYTES = 16;

/**
 * The write-ahead log: what `commit` resolved for survives a crash, in order, completely. Not reentrant: one commit at
 * a time. After any error the log must not be used again; recover by opening it anew. On a full disk a commit waits.
 */
export class Wal {
  readonly #options: WalOptions;
  readonly #codec: FrameCodec;
  readonly #supply: SegmentSupply;
  readonly #segments: Segment[] = [];
  #file: DiskFile | undefined;
  #size = 0;
  #end = 0;
  #crc = 0;
  #hardState: HardState = { term: 0, vote: 0, commit: 0 };
  #refs: readonly SnapshotRef[] = [];

  private constructor(options: WalOptions) {
    this.#options = options;
    this.#codec = options.codec ?? plainCodec;
    this.#supply = new SegmentSupply(options);
  }

  /**
   * Open or create the log of `identity`. Returns everything in it, in order; empty for a new one.
   * @throws ClusterError system when it is damaged, conflict when it belongs to somebody else
   */
  static async open(
    options: WalOptions,
  ): Promise<{ readonly wal: Wal; readonly records: readonly WalRecord[] }> {
    const { disk, folder } = options;
    await disk.mkdir(folder);
    await disk.fsyncDir(dirname(folder));
    const wal = new Wal(options);
    await wal.#supply.open();
    const segments = await readSegments(disk, folder, wal.#codec);
    const records = segments.flatMap((segment) => segment.records);
    checkIdentity(options.identity, records);
    if (segments.length > 0) await wal.#continue(segments);
    else await wal.#cut(1, 0, false);
    wal.#supply.prepare();
    return { wal, records };
  }

  /**
   * Append `records` as one unit: one write, one fdatasync, durable when this resolves. `apart` puts them into a page of
   * their own: behind it, damage to what is before can no longer be taken for an unfinished write.
   */
  async commit(records: readonly WalRecord[], apart = false): Promise<void> {
    const payload = this.#codec.encode(encodeRecords(records));
    let frame = encodeFrame('commit', payload, this.#crc);
    if (apart) this.#end = nextPage(this.#end);
    if (this.#end + frame.bytes.length > this.#size) {
      await this.#cut(firstIndexOf(records) ?? this.#lastIndex + 1, frame.bytes.length);
      frame = encodeFrame('commit', payload, this.#crc);
    }
    const file = must(this.#file, 'an open segment');
    if (file.writeDurably) {
      await file.writeDurably(this.#end, frame.bytes);
    } else {
      await file.pwrite(this.#end, frame.bytes);
      await file.fdatasync();
    }
    this.#end += frame.bytes.length;
    this.#crc = frame.crc;
    this.#note(records);
  }

  /** Forget segments that hold no entry above `index`. */
  async release(index: number): Promise<void> {
    const { disk, folder } = this.#options;
    for (;;) {
      const [oldest, next] = this.#segments;
      if (oldest === undefined || next === undefined || oldest.lastIndex > index) return;
      await disk.unlink(`${folder}/${oldest.file}`);
      // One by one: after a crash there must be no gap.
      await disk.fsyncDir(folder);
      this.#segments.shift();
    }
  }

  /** A commit waits until the disk has room. */
  get isStuck(): boolean {
    return this.#supply.isStuck;
  }

  /** From now on nothing waits for room on a full disk: it fails. */
  async giveUpWaiting(): Promise<void> {
    await this.#supply.close();
  }

  /** Write the seal, so that the next start can tell damage at the end from an unfinished write. */
  async close(): Promise<void> {
    await this.#supply.close();
    try {
      await this.#seal();
    } catch (error) {
      // What was committed is there without it.
      this.#options.logger.warn('log closed without a seal', { error });
    }
    await this.#file?.close();
    this.#file = undefined;
  }

  async #seal(): Promise<void> {
    const { bytes } = encodeFrame('seal', new Uint8Array(0), this.#crc);
    const at = nextPage(this.#end);
    // The head of another segment seals as well.
    if (at + bytes.length > this.#size) return this.#cut(this.#lastIndex + 1, 0, false);
    await this.#file?.pwrite(at, bytes);
    await this.#file?.fdatasync();
  }

  get #lastIndex(): number {
    return this.#segments.reduce((last, segment) => Math.max(last, segment.lastIndex), 0);
  }

  async #continue(contents: readonly SegmentContent[]): Promise<void> {
    for (const { name, records } of contents) {
      this.#segments.push({ sequence: name.sequence, file: name.file, lastIndex: 0 });
      this.#note(records);
    }
    const last = must(contents.at(-1), 'a segment');
    const file = await this.#options.disk.open(this.#path(last.name.file), 'write');
    if (last.torn) await this.#repair(file, last);
    // If its fdatasync failed, the kernel may show what the disk never got: write it again before it is built upon.
    await file.pwrite(last.lastFrame, await file.pread(last.lastFrame, last.end - last.lastFrame));
    await file.fdatasync();
    this.#file = file;
    this.#end = last.end;
    this.#size = last.size;
    this.#crc = last.lastCrc;
  }

  /** Erase an unfinished write, so that nothing of it can ever be read; what it was is kept beside it. */
  async #repair(file: DiskFile, { name, end, size }: SegmentContent): Promise<void> {
    const path = this.#path(name.file);
    const { logger } = this.#options;
    logger.warn('log ended in an unfinished write', { path, offset: end });
    const remains = withoutZeros(await file.pread(end, size - end));
    await this.#keep(`${path}.broken`, remains).catch((error: unknown) => {
      if (!isFull(error)) throw error;
      logger.warn('cannot keep what was unfinished', { path, error: errorMessage(error) });
    });
    await file.pwrite(end, new Uint8Array(remains.length));
    await file.fdatasync();
  }

  async #keep(path: string, content: Uint8Array): Promise<void> {
    const { disk } = this.#options;
    const copy = await disk.open(`${path}.tmp`, 'create');
    try {
      await copy.pwrite(0, content);
    } finally {
      await copy.close();
    }
    await disk.rename(`${path}.tmp`, path);
  }

  /** Begin a new segment, which repeats everything that is needed without the older ones. */
  async #cut(firstIndex: number, room = 0, wait = true): Promise<void> {
    const { disk, folder } = this.#options;
    const blank = await this.#supply.take(
      this.#headFrame(this.#options.segmentBytes).bytes.length + HEAD_SLACK_BYTES + room,
      wait,
    );
    const { file, path, size } = blank;
    const head = this.#headFrame(size);
    await file.pwrite(0, head.bytes);
    await file.fdatasync();
    const sequence = (this.#segments.at(-1)?.sequence ?? 0) + 1;
    const name = segmentFile(sequence, firstIndex);
    await disk.rename(path, `${folder}/${name}`);
    await disk.fsyncDir(folder);
    await this.#file?.close();
    this.#segments.push({ sequence, file: name, lastIndex: 0 });
    this.#file = file;
    this.#size = size;
    this.#end = head.bytes.length;
    this.#crc = head.crc;
    if (sequence > 1) this.#supply.prepare();
  }

  #headFrame(bytes: number): ReturnType<typeof encodeFrame> {
    const payload = this.#codec.encode(encodeRecords(this.#head(bytes)));
    return encodeFrame('commit', payload, this.#crc);
  }

  #head(bytes: number): readonly WalRecord[] {
    return [
      { kind: 'size', bytes },
      { kind: 'identity', identity: this.#options.identity },
      { kind: 'hardState', hardState: this.#hardState },
      // Not as installed: what that one voided is in older segments, this one's log is not to be voided again.
      ...this.#refs.map(
        (ref): WalRecord => ({ kind: 'snapshot', ref: { ...ref, installed: false } }),
      ),
    ];
  }

  #note(records: readonly WalRecord[]): void {
    const segment = this.#segments.at(-1);
    for (const record of records) {
      if (record.kind === 'hardState') this.#hardState = record.hardState;
      if (record.kind === 'snapshot') this.#refs = [...this.#refs, record.ref].slice(-2);
      if (record.kind !== 'entries' || segment === undefined) continue;
      segment.lastIndex = Math.max(segment.lastIndex, record.entries.at(-1)?.index ?? 0);
    }
  }

  #path(file: string): string {
    return `${this.#options.folder}/${file}`;
  }
}

function firstIndexOf(records: readonly WalRecord[]): number | undefined {
  for (const record of records) {
    if (record.kind === 'entries') return record.entries[0]?.index;
  }
  return undefined;
}

function withoutZeros(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, bytes.findLastIndex((byte) => byte !== 0) + 1);
}

function checkIdentity(own: Identity, records: readonly WalRecord[]): void {
  for (const record of records) {
    if (record.kind !== 'identity') continue;
    const { clusterId, raftId } = record.identity;
    if (clusterId === own.clusterId && raftId === own.raftId) continue;
    throw new ClusterError(
      'conflict',
      `the log belongs to member ${raftId} of cluster ${clusterId}, not to ${own.raftId} of ${own.clusterId}`,
    );
  }
}
