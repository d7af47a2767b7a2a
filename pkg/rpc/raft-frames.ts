/**
 * What goes over a raft connection, from the one who dialled: frames of a length (u32, little endian) and as many bytes.
 * The first holds the sender's raft id (u64), the others one message each. A frame without bytes asks for a sign of life;
 * the answer, a frame without bytes, is all that goes the other way.
 */
export const RAFT_PROTOCOL = 'muster-raft/1';

const LENGTH_BYTES = 4;
/** One log entry has at most 1.5 MiB; a message to another manager about 1. */
const FRAME_BYTES_MAX = 32 * 1024 * 1024;

export const EMPTY_FRAME: Uint8Array = Buffer.alloc(LENGTH_BYTES);

export function frameHead(payload: Uint8Array): Uint8Array {
  const head = Buffer.allocUnsafe(LENGTH_BYTES);
  head.writeUInt32LE(payload.length, 0);
  return head;
}

export function encodeSender(raftId: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(raftId));
  return bytes;
}

/** @throws RangeError when it is none */
export function decodeSender(payload: Uint8Array): number {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const raftId = Number(bytes.readBigUInt64LE(0));
  if (!Number.isSafeInteger(raftId) || raftId === 0) throw new RangeError('not a raft id');
  return raftId;
}

/** Cuts what arrives into frames. */
export class FrameReader {
  readonly #onFrame: (payload: Uint8Array) => void;
  #parts: Buffer[] = [];
  #bytes = 0;
  /** Bytes that the frame under way needs, its length included. */
  #needed = LENGTH_BYTES;

  constructor(onFrame: (payload: Uint8Array) => void) {
    this.#onFrame = onFrame;
  }

  /** Frames are views of `chunk` where they lie in one. @throws RangeError for a frame that is too large */
  push(chunk: Buffer): void {
    this.#parts.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < this.#needed) return;
    let rest = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts);
    for (;;) {
      this.#needed = neededBy(rest);
      if (rest.length < this.#needed) break;
      const payload = rest.subarray(LENGTH_BYTES, this.#needed);
      rest = rest.subarray(this.#needed);
      this.#onFrame(payload);
    }
    this.#parts = rest.length > 0 ? [rest] : [];
    this.#bytes = rest.length;
  }
}

function neededBy(bytes: Buffer): number {
  if (bytes.length < LENGTH_BYTES) return LENGTH_BYTES;
  const length = bytes.readUInt32LE(0);
  if (length > FRAME_BYTES_MAX) throw new RangeError(`frame of ${length} bytes`);
  return LENGTH_BYTES + length;
}
