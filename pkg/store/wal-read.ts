import type { Disk } from '../io/index.ts';
import { ClusterError, errorMessage } from '../model/index.ts';
import { classifyRemains, decodeFrame, type Frame, frameAfter } from './frame.ts';
import type { FrameCodec } from './frame-codec.ts';
import { decodeRecords, type WalRecord } from './wal-record.ts';

export interface SegmentName {
  readonly sequence: number;
  readonly firstIndex: number;
  readonly file: string;
}

/** A segment as recovered. `end` is where the next frame goes. */
export interface SegmentContent {
  readonly name: SegmentName;
  readonly records: readonly WalRecord[];
  readonly end: number;
  readonly size: number;
  readonly lastCrc: number;
  /** Where the last frame begins. */
  readonly lastFrame: number;
  /** There is an unfinished write at `end` that must be erased before the next one. */
  readonly torn: boolean;
}

const NAME = /^([0-9a-f]{16})-([0-9a-f]{16})\.wal$/;

export function segmentFile(sequence: number, firstIndex: number): string {
  return `${hex16(sequence)}-${hex16(firstIndex)}.wal`;
}

export function hex16(value: number): string {
  return value.toString(16).padStart(16, '0');
}

export function parseSegmentFile(file: string): SegmentName | undefined {
  const match = NAME.exec(file);
  if (!match) return undefined;
  const [, sequence = '', firstIndex = ''] = match;
  return {
    sequence: Number.parseInt(sequence, 16),
    firstIndex: Number.parseInt(firstIndex, 16),
    file,
  };
}

/**
 * Read all segments of `folder` in order. Only the last may end in an unfinished write.
 * @throws ClusterError system, naming file and offset, for anything that was damaged after it was written
 */
export async function readSegments(
  disk: Disk,
  folder: string,
  codec: FrameCodec,
): Promise<readonly SegmentContent[]> {
  const names = (await disk.readdir(folder)).flatMap((file) => parseSegmentFile(file) ?? []);
  names.sort((left, right) => left.sequence - right.sequence);
  const segments: SegmentContent[] = [];
  for (const name of names) {
    const before = segments.at(-1);
    if (before && before.name.sequence + 1 !== name.sequence) {
      throw damaged(`${folder}/${name.file}`, 0, `segment ${before.name.sequence + 1} is missing`);
    }
    const file = await readWhole(disk, `${folder}/${name.file}`);
    const last = name === names.at(-1);
    segments.push(parseSegment({ name, file, folder, last, codec, previous: before?.lastCrc }));
  }
  return segments;
}

export function damaged(file: string, offset: number, what: string): ClusterError {
  return new ClusterError(
    'system',
    `log file ${file} is damaged at offset ${offset}: ${what}; nothing was changed. Remove this manager from the cluster, empty its data directory and join again`,
    { code: 'ERR_LOG_DAMAGED' },
  );
}

async function readWhole(disk: Disk, path: string): Promise<Uint8Array> {
  const file = await disk.open(path, 'read');
  try {
    return await file.pread(0, await file.size());
  } finally {
    await file.close();
  }
}

interface RawSegment {
  readonly name: SegmentName;
  readonly file: Uint8Array;
  readonly folder: string;
  readonly last: boolean;
  readonly codec: FrameCodec;
  /** CRC at the end of the segment before; undefined for the oldest one kept. */
  readonly previous: number | undefined;
}

function parseSegment(raw: RawSegment): SegmentContent {
  const { name, file, codec } = raw;
  const path = `${raw.folder}/${name.file}`;
  const records: WalRecord[] = [];
  let previous = raw.previous;
  let at = 0;
  let lastFrame = 0;
  for (;;) {
    const found = findFrame(file, at, previous);
    if (found === undefined) break;
    const { frame, from } = found;
    if (previous !== undefined && frame.previous !== previous) {
      throw damaged(path, from, 'it does not follow what was written before it');
    }
    if (frame.type === 'commit') records.push(...decodeCommit(codec, frame.payload, path, from));
    previous = frame.crc;
    lastFrame = from;
    at = frame.end;
  }
  // The first frame was durable before the file got its name, and so was the size.
  if (at === 0) throw damaged(path, 0, 'its head is unreadable');
  checkSize(records, file, path);
  const remains = classifyRemains(file, at);
  if (remains === 'damaged' || (remains === 'torn' && !raw.last)) {
    throw damaged(path, at, 'a frame fails its checksum');
  }
  const torn = remains === 'torn';
  const lastCrc = previous ?? 0;
  return { name, records, end: at, size: file.length, lastCrc, lastFrame, torn };
}

/** The frame at `at`, or in the next page when it follows the one before and there are only zeros between. */
function findFrame(
  file: Uint8Array,
  at: number,
  previous: number | undefined,
): { readonly frame: Frame; readonly from: number } | undefined {
  const frame = decodeFrame(file, at);
  if (frame !== undefined) return { frame, from: at };
  const from = frameAfter(file, at);
  const apart = at === 0 || from === at ? undefined : decodeFrame(file, from);
  return apart !== undefined && apart.previous === previous ? { frame: apart, from } : undefined;
}

function checkSize(records: readonly WalRecord[], file: Uint8Array, path: string): void {
  for (const record of records) {
    if (record.kind !== 'size' || record.bytes <= file.length) continue;
    throw damaged(path, file.length, `it ends here instead of at ${record.bytes}`);
  }
}

function decodeCommit(
  codec: FrameCodec,
  payload: Uint8Array,
  path: string,
  at: number,
): readonly WalRecord[] {
  try {
    return decodeRecords(codec.decode(payload));
  } catch (error) {
    throw damaged(path, at, `a frame does not decode: ${errorMessage(error)}`);
  }
}
