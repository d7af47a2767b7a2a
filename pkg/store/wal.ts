import type { HardState } from 'raft-js';
import type { Disk, DiskFile, Logger } from '../io/index.ts';
import { ClusterError, must } from '../model/index.ts';
import { encodeFrame } from './frame.ts';
import { type FrameCodec, plainCodec } from './frame-codec.ts';
import { readSegments, type SegmentContent, segmentFile } from './wal-read.ts';
import { encodeRecords, type Identity, type SnapshotRef, type WalRecord } from './wal-record.ts';

export interface WalOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly identity: Identity;
  readonly segmentBytes: number;
  readonly logger: Logger;
  readonly codec?: FrameCodec | undefined;
}

interface Segment {
  readonly sequence: number;
  readonly file: string;
  /** Largest index of an entry in it: the segment can go when no entry up to it is needed. */
  lastIndex: number;
}

const PREPARED = 'next.tmp';

/**
 * The write-ahead log: what `commit` resolved for survives a crash, in order, completely. Not reentrant: one commit at
 * a time. After any error the log must not be used again; recover by opening it anew.
 */
export class Wal {
  readonly #options: WalOptions;
  readonly #codec: FrameCodec;
  readonly #segments: Segment[] = [];
  #file: DiskFile | undefined;
  #size = 0;
  #end = 0;
  #crc = 0;
  #hardState: HardState = { term: 0, vote: 0, commit: 0 };
  #refs: readonly SnapshotRef[] = [];
  /** The next segment, being preallocated; undefined when that failed or was used. */
  #prepared: Promise<DiskFile | undefined> | undefined;

  private constructor(options: WalOptions) {
    this.#options = options;
    this.#codec = options.codec ?? plainCodec;
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
    for (const file of await disk.readdir(folder)) {
      if (file.endsWith('.tmp')) await disk.unlink(`${folder}/${file}`);
    }
    const wal = new Wal(options);
    const segments = await readSegments(disk, folder, wal.#codec);
    const records = segments.flatMap((segment) => segment.records);
    checkIdentity(options.identity, records);
    if (segments.length > 0) await wal.#continue(segments);
    else await wal.#cut(1);
    wal.#prepareNext();
    return { wal, records };
  }

  /** Append `records` as one unit: one write, one fdatasync, durable when this resolves. */
  async commit(records: readonly WalRecord[]): Promise<void> {
    const payload = this.#codec.encode(encodeRecords(records));
    let frame = encodeFrame('commit', payload, this.#crc);
    if (this.#end + frame.bytes.length > this.#size) {
      await this.#cut(firstIndexOf(records) ?? this.#lastIndex + 1, frame.bytes.length);
      frame = encodeFrame('commit', payload, this.#crc);
    }
    const file = must(this.#file, 'an open segment');
    await file.pwrite(this.#end, frame.bytes);
    this.#end += frame.bytes.length;
    this.#crc = frame.crc;
    this.#note(records);
    await file.fdatasync();
  }

  /** Forget segments that hold no entry above `index`. */
  async release(index: number): Promise<void> {
    const { disk, folder } = this.#options;
    for (;;) {
      const [oldest, next] = this.#segments;
      if (oldest === undefined || next === undefined || oldest.lastIndex > index) return;
      await disk.unlink(`${folder}/${oldest.file}`);
      this.#segments.shift();
    }
  }

  /** Write the seal, so that the next start can tell damage at the end from an unfinished write. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    const prepared = await this.#prepared;
    await prepared?.close();
    if (file === undefined) return;
    const seal = encodeFrame('seal', new Uint8Array(0), this.#crc);
    if (this.#end + seal.bytes.length <= this.#size) await file.pwrite(this.#end, seal.bytes);
    await file.fdatasync();
    await file.close();
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
    if (last.torn || last.size < this.#options.segmentBytes) await this.#repair(file, last);
    this.#file = file;
    this.#end = last.end;
    this.#size = Math.max(last.size, this.#options.segmentBytes);
    this.#crc = last.lastCrc;
  }

  /** Erase an unfinished write, so that nothing of it can ever be read; what it was is kept beside it. */
  async #repair(file: DiskFile, content: SegmentContent): Promise<void> {
    if (content.torn) {
      const path = this.#path(content.name.file);
      this.#options.logger.warn('log ended in an unfinished write', { path, offset: content.end });
      const copy = await this.#options.disk.open(`${path}.broken.tmp`, 'create');
      await copy.pwrite(0, await file.pread(content.end, content.size - content.end));
      await copy.close();
      await this.#options.disk.rename(`${path}.broken.tmp`, `${path}.broken`);
    }
    await file.truncate(content.end);
    await file.allocate(Math.max(content.size, this.#options.segmentBytes));
    await file.fdatasync();
  }

  /** Begin a new segment, which repeats everything that is needed without the older ones. */
  async #cut(firstIndex: number, room = 0): Promise<void> {
    const { disk, folder, segmentBytes } = this.#options;
    const head = encodeFrame('commit', this.#codec.encode(encodeRecords(this.#head())), this.#crc);
    const size = Math.max(segmentBytes, head.bytes.length + room);
    const file = (await this.#takePrepared()) ?? (await this.#prepare());
    if (size > segmentBytes) await file.allocate(size);
    await file.pwrite(0, head.bytes);
    await file.fdatasync();
    const sequence = (this.#segments.at(-1)?.sequence ?? 0) + 1;
    const name = segmentFile(sequence, firstIndex);
    await disk.rename(`${folder}/${PREPARED}`, `${folder}/${name}`);
    await disk.fsyncDir(folder);
    await this.#file?.close();
    this.#segments.push({ sequence, file: name, lastIndex: 0 });
    this.#file = file;
    this.#size = size;
    this.#end = head.bytes.length;
    this.#crc = head.crc;
    if (sequence > 1) this.#prepareNext();
  }

  #head(): readonly WalRecord[] {
    return [
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

  #prepareNext(): void {
    this.#prepared = this.#prepare().catch((error: unknown) => {
      this.#options.logger.warn('cannot preallocate the next log segment', { error });
      return undefined;
    });
  }

  async #takePrepared(): Promise<DiskFile | undefined> {
    const prepared = this.#prepared;
    this.#prepared = undefined;
    return await prepared;
  }

  async #prepare(): Promise<DiskFile> {
    const { disk, segmentBytes } = this.#options;
    const path = this.#path(PREPARED);
    await disk.unlink(path).catch(() => undefined);
    const file = await disk.open(path, 'create');
    await file.allocate(segmentBytes);
    await file.fdatasync();
    return file;
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
