import { crc32 } from 'node:zlib';

/**
 * A frame is the unit of damage: it is there as a whole or not at all. Layout, little endian, at a multiple of 8:
 *
 *     u32 length of payload and end mark   u8 type   u24 check of length, type and previous
 *     u32 CRC of the previous frame        u32 CRC of everything else here
 *     payload   u8 end mark 0x5a   zeros up to a multiple of 8
 *
 * The chain of CRCs proves order and completeness; each frame can still be verified alone, which is how a damaged one
 * in the middle is told from an unfinished one at the end.
 */
export const FRAME_HEADER_BYTES = 16;

export const FRAME_TYPES = {
  /** One group commit of the write-ahead log. */
  commit: 1,
  /** The log was closed in order; everything before it was acknowledged. */
  seal: 2,
  snapshotHead: 3,
  snapshotChunk: 4,
  snapshotFoot: 5,
} as const;
export type FrameType = keyof typeof FRAME_TYPES;

const TYPE_NAMES = new Map(
  Object.entries(FRAME_TYPES).map(([name, code]) => [code as number, name as FrameType]),
);

const END_MARK = 0x5a;
const ALIGNMENT = 8;
const SECTOR_BYTES = 512;
/** What a disk or a file system writes, and loses, as a whole. */
const PAGE_BYTES = 4096;
const CHECK_BITS = 0xffffff;
const ZEROS = new Uint8Array(64 * 1024);

export interface Frame {
  readonly type: FrameType;
  readonly payload: Uint8Array;
  readonly previous: number;
  readonly crc: number;
  /** Where the next frame begins. */
  readonly end: number;
}

export function frameBytes(payloadBytes: number): number {
  const used = FRAME_HEADER_BYTES + payloadBytes + 1;
  return Math.ceil(used / ALIGNMENT) * ALIGNMENT;
}

export function encodeFrame(
  type: FrameType,
  payload: Uint8Array,
  previous: number,
): { readonly bytes: Uint8Array; readonly crc: number } {
  const bytes = Buffer.alloc(frameBytes(payload.length));
  bytes.writeUInt32LE(payload.length + 1, 0);
  bytes[4] = FRAME_TYPES[type];
  bytes.writeUInt32LE(previous, 8);
  bytes.writeUIntLE(headerCheck(bytes), 5, 3);
  bytes.set(payload, FRAME_HEADER_BYTES);
  const end = FRAME_HEADER_BYTES + payload.length;
  bytes[end] = END_MARK;
  const crc = frameCrc(bytes.subarray(0, end + 1));
  bytes.writeUInt32LE(crc, 12);
  return { bytes, crc };
}

/** Length, type and check of a header; undefined when they do not belong together. */
export function decodeHeader(
  header: Uint8Array,
):
  | { readonly type: FrameType; readonly bodyBytes: number; readonly totalBytes: number }
  | undefined {
  if (header.length < FRAME_HEADER_BYTES) return undefined;
  const bytes = Buffer.from(header.buffer, header.byteOffset, header.length);
  const bodyBytes = bytes.readUInt32LE(0);
  const type = TYPE_NAMES.get(bytes[4] ?? 0);
  if (type === undefined || bodyBytes === 0) return undefined;
  if (bytes.readUIntLE(5, 3) !== headerCheck(bytes)) return undefined;
  return { type, bodyBytes, totalBytes: frameBytes(bodyBytes - 1) };
}

/** The frame at `offset` of `file`, or undefined when there is no sound one. */
export function decodeFrame(file: Uint8Array, offset: number): Frame | undefined {
  const header = decodeHeader(file.subarray(offset, offset + FRAME_HEADER_BYTES));
  if (header === undefined) return undefined;
  const end = offset + FRAME_HEADER_BYTES + header.bodyBytes;
  if (end > file.length || file[end - 1] !== END_MARK) return undefined;
  const bytes = Buffer.from(file.buffer, file.byteOffset + offset, end - offset);
  const crc = bytes.readUInt32LE(12);
  if (crc !== frameCrc(bytes)) return undefined;
  return {
    type: header.type,
    payload: file.subarray(offset + FRAME_HEADER_BYTES, end - 1),
    previous: bytes.readUInt32LE(8),
    crc,
    end: offset + header.totalBytes,
  };
}

/** The first page boundary at or behind `offset`. */
export function nextPage(offset: number): number {
  return Math.ceil(offset / PAGE_BYTES) * PAGE_BYTES;
}

/** Where the frame is that follows `offset` directly or, after zeros, in a page of its own. */
export function frameAfter(file: Uint8Array, offset: number): number {
  const page = nextPage(offset);
  return page + FRAME_HEADER_BYTES < file.length && isZero(file.subarray(offset, page))
    ? page
    : offset;
}

/** What is at `offset`, where no sound frame is: nothing, the remains of an unfinished write, or damage. */
export type Remains = 'end' | 'torn' | 'damaged';

/**
 * Tells an unfinished write from damage. A write that a crash interrupted leaves zeros: the file was zeros before, and
 * disks write whole sectors. It is also the last thing ever written, so a sound frame behind it proves damage.
 */
export function classifyRemains(file: Uint8Array, offset: number): Remains {
  if (hasFrameAfter(file, offset)) return 'damaged';
  const rest = file.subarray(offset);
  if (isZero(rest)) return 'end';
  const header = decodeHeader(rest.subarray(0, FRAME_HEADER_BYTES));
  const length = header ? FRAME_HEADER_BYTES + header.bodyBytes : FRAME_HEADER_BYTES;
  if (length > rest.length) return 'torn';
  if (hasZeroSector(file, offset, offset + length)) return 'torn';
  if (header) return rest[length - 1] === 0 ? 'torn' : 'damaged';
  return isZero(rest.subarray(length)) && rest[length - 1] === 0 ? 'torn' : 'damaged';
}

function hasFrameAfter(file: Uint8Array, offset: number): boolean {
  for (let at = offset + ALIGNMENT; at + FRAME_HEADER_BYTES < file.length; at += ALIGNMENT) {
    // Zeros cannot begin a frame, and they are most of the file.
    if (file[at + 4] !== 0 && decodeFrame(file, at) !== undefined) return true;
  }
  return false;
}

function hasZeroSector(file: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; ) {
    const end = Math.min(to, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES);
    if (isZero(file.subarray(at, end))) return true;
    at = end;
  }
  return false;
}

function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const part = bytes.subarray(at, at + ZEROS.length);
    if (Buffer.compare(part, ZEROS.subarray(0, part.length)) !== 0) return false;
  }
  return true;
}

function headerCheck(frame: Buffer): number {
  const fields = Buffer.alloc(9);
  frame.copy(fields, 0, 0, 5);
  frame.copy(fields, 5, 8, 12);
  return crc32(fields) & CHECK_BITS;
}

/** Over everything but the CRC itself. */
function frameCrc(frame: Buffer): number {
  return crc32(frame.subarray(FRAME_HEADER_BYTES), crc32(frame.subarray(0, 12)));
}
