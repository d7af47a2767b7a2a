export type StreamName = 'stdout' | 'stderr';

const HEADER_BYTES = 8;
const STREAM_NUMBER: Readonly<Record<StreamName | 'error', number>> = {
  stdout: 1,
  stderr: 2,
  error: 3,
};

/** One frame of a multiplexed stream: stream number, three zero bytes, length big-endian, payload. */
export function frame(stream: StreamName | 'error', payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  bytes.writeUInt32LE(STREAM_NUMBER[stream], 0);
  bytes.writeUInt32BE(payload.length, 4);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** The last words of a log stream that broke off, as dockerd says them. */
export function logFailure(tty: boolean, message: string): Buffer {
  const text = Buffer.from(`Error grabbing logs: ${message}\n`);
  return tty ? text : frame('error', text);
}

/** What the first version with a content type of its own (1.42) says of a stream; raw means a terminal's bytes. */
export function streamContentType(raw: boolean): string {
  return `application/vnd.docker.${raw ? 'raw' : 'multiplexed'}-stream`;
}
