/** A message between agent and shim: Docker's stream framing, with letters for what is not a stream. */
export interface Frame {
  readonly type: number;
  readonly payload: Buffer;
}

/** Frame types; the counterpart is `command()` in `init/shim.c`. */
export const FRAME = {
  stdin: 0,
  stdout: 1,
  stderr: 2,
  attach: 'a'.charCodeAt(0),
  closeStdin: 'e'.charCodeAt(0),
  start: 's'.charCodeAt(0),
  kill: 'k'.charCodeAt(0),
  resize: 'w'.charCodeAt(0),
  reply: 'r'.charCodeAt(0),
  exited: 'x'.charCodeAt(0),
} as const;

/** Greatest payload the shim accepts. */
export const FRAME_MAX = 8192;
const HEADER = 8;

/** Pure. Payloads larger than FRAME_MAX are split into several frames. */
export function encodeFrames(type: number, payload: Uint8Array): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  do {
    const piece = payload.subarray(at, at + FRAME_MAX);
    const header = Buffer.alloc(HEADER);
    header.writeUInt8(type, 0);
    header.writeUInt32BE(piece.length, 4);
    parts.push(header, Buffer.from(piece.buffer, piece.byteOffset, piece.length));
    at += FRAME_MAX;
  } while (at < payload.length);
  return Buffer.concat(parts);
}

/** Cuts a byte stream into frames. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** The frames completed by this chunk. */
  push(chunk: Buffer): readonly Frame[] {
    let bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    const frames: Frame[] = [];
    while (bytes.length >= HEADER) {
      const end = HEADER + bytes.readUInt32BE(4);
      if (bytes.length < end) break;
      frames.push({ type: bytes.readUInt8(0), payload: bytes.subarray(HEADER, end) });
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
    return frames;
  }
}

/** Terminal size as the shim reads it. */
export function windowSize(rows: number, cols: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt16BE(rows, 0);
  payload.writeUInt16BE(cols, 2);
  return payload;
}
