/**
 * Reads tar: POSIX ustar, PAX (also binary values) and the GNU extensions for long names and base-256 numbers
 * (POSIX.1-2017 pax(1); GNU tar manual "Basic Tar Format").
 */
import { ClusterError } from '../model/index.ts';

export type TarType =
  | 'file'
  | 'hardlink'
  | 'symlink'
  | 'character'
  | 'block'
  | 'directory'
  | 'fifo'
  | 'other';

export interface TarHeader {
  readonly path: string;
  readonly type: TarType;
  /** Permission bits with setuid, setgid, sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Seconds, fractions included. */
  readonly mtime: number;
  readonly linkPath: string;
  readonly major: number;
  readonly minor: number;
  /** Name → raw value, from `SCHILY.xattr.` records. */
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

export interface TarEntry extends TarHeader {
  /** The content; what the consumer leaves unread is skipped. */
  body(): AsyncGenerator<Buffer>;
}

const BLOCK = 512;
/** PAX headers and long names above this are an attack. */
const EXTENSION_MAX_BYTES = 1 << 20;
const TYPES: Readonly<Record<string, TarType>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

const broken = (why: string): ClusterError =>
  new ClusterError('invalid', `invalid tar archive: ${why}`);

/** Exact reads over a stream of chunks. */
class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Some bytes, at most `limit`; undefined at the end. */
  async some(limit: number): Promise<Buffer | undefined> {
    while (this.#chunk.length === 0) {
      const next = await this.#source.next();
      if (next.done) return undefined;
      this.#chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.length);
    }
    const taken = this.#chunk.subarray(0, limit);
    this.#chunk = this.#chunk.subarray(taken.length);
    return taken;
  }

  /** Exactly `count` bytes; undefined when the stream ends before the first. */
  async exactly(count: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    let missing = count;
    while (missing > 0) {
      const part = await this.some(missing);
      if (!part) {
        if (missing === count) return undefined;
        throw broken('unexpected end');
      }
      parts.push(part);
      missing -= part.length;
    }
    return parts.length === 1 ? parts[0] : Buffer.concat(parts);
  }
}

interface Extensions {
  readonly pax: Map<string, Buffer>;
  path?: string | undefined;
  linkPath?: string | undefined;
}

/** Entries in order. Throws `ClusterError` `invalid` on damage; reads to the end of the stream. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const reader = new ByteReader(source);
  const global = new Map<string, Buffer>();
  let pending: Extensions = { pax: new Map() };
  for (;;) {
    const block = await reader.exactly(BLOCK);
    if (!block) return;
    if (block.every((byte) => byte === 0)) continue;
    checkSum(block);
    const flag = String.fromCharCode(block[156] ?? 0);
    const size = number(block, 124, 12);
    if ('xgLK'.includes(flag)) {
      await readExtension(reader, { flag, size }, flag === 'g' ? { pax: global } : pending);
      continue;
    }
    const header = merge(block, pending, global);
    pending = { pax: new Map() };
    const hasContent = header.type === 'file' || header.type === 'other';
    const content = bodyOf(reader, hasContent ? header.size : 0);
    yield { ...header, body: (): AsyncGenerator<Buffer> => content };
    await drain(content); // what the consumer left
  }
}

async function drain(content: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of content);
}

async function readExtension(
  reader: ByteReader,
  { flag, size }: { flag: string; size: number },
  into: Extensions,
): Promise<void> {
  if (size > EXTENSION_MAX_BYTES) throw broken('extension header too large');
  const bytes = (await reader.exactly(Math.ceil(size / BLOCK) * BLOCK)) ?? Buffer.alloc(0);
  const content = bytes.subarray(0, size);
  if (flag === 'L') into.path = cString(content);
  else if (flag === 'K') into.linkPath = cString(content);
  else for (const [key, value] of paxRecords(content)) into.pax.set(key, value);
}

/** `<length> <key>=<value>\n`, the length counting the whole record. */
function* paxRecords(bytes: Buffer): Generator<[string, Buffer]> {
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(bytes.toString('latin1', at, space));
    const equals = bytes.indexOf(0x3d, space);
    if (
      space < 0 ||
      !Number.isSafeInteger(length) ||
      length < 5 ||
      at + length > bytes.length ||
      equals < 0
    ) {
      throw broken('malformed PAX record');
    }
    yield [bytes.toString('utf8', space + 1, equals), bytes.subarray(equals + 1, at + length - 1)];
    at += length;
  }
}

async function* bodyOf(reader: ByteReader, size: number): AsyncGenerator<Buffer> {
  let missing = size;
  const padding = (BLOCK - (size % BLOCK)) % BLOCK;
  try {
    while (missing > 0) {
      const part = await reader.some(missing);
      if (!part) throw broken('unexpected end');
      missing -= part.length;
      yield part;
    }
  } finally {
    // A consumer that stopped early: the rest is not content of anything else.
    for (let rest = missing + padding; rest > 0; ) {
      const part = await reader.some(rest);
      if (!part) break;
      rest -= part.length;
    }
  }
}

function merge(block: Buffer, own: Extensions, global: ReadonlyMap<string, Buffer>): TarHeader {
  const pax = new Map([...global, ...own.pax]);
  const text = (key: string): string | undefined => pax.get(key)?.toString('utf8');
  const numeric = (key: string): number | undefined => {
    const value = text(key);
    return value === undefined || value === '' ? undefined : Number(value);
  };
  const ustar = block.toString('latin1', 257, 262) === 'ustar';
  const path = text('path') ?? own.path ?? ownPath(block, ustar);
  const type = TYPES[String.fromCharCode(block[156] ?? 0)] ?? 'other';
  return {
    path,
    type: type === 'file' && path.endsWith('/') ? 'directory' : type,
    mode: number(block, 100, 8) & 0o7777,
    uid: numeric('uid') ?? number(block, 108, 8),
    gid: numeric('gid') ?? number(block, 116, 8),
    size: numeric('size') ?? number(block, 124, 12),
    mtime: numeric('mtime') ?? number(block, 136, 12),
    linkPath: text('linkpath') ?? own.linkPath ?? cString(block.subarray(157, 257)),
    major: ustar ? number(block, 329, 8) : 0,
    minor: ustar ? number(block, 337, 8) : 0,
    xattrs: xattrsOf(pax),
  };
}

function xattrsOf(pax: ReadonlyMap<string, Buffer>): ReadonlyMap<string, Buffer> {
  const xattrs = new Map<string, Buffer>();
  for (const [key, value] of pax) {
    if (key.startsWith('SCHILY.xattr.')) xattrs.set(key.slice(13), Buffer.from(value));
  }
  return xattrs;
}

function ownPath(block: Buffer, ustar: boolean): string {
  // GNU's variant of the magic uses the prefix field for times.
  const prefix = ustar && block[262] === 0 ? cString(block.subarray(345, 500)) : '';
  const name = cString(block.subarray(0, 100));
  return prefix === '' ? name : `${prefix}/${name}`;
}

function cString(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}

/** Octal text, or base 256 when the top bit is set. */
function number(block: Buffer, offset: number, length: number): number {
  const first = block[offset] ?? 0;
  if (first & 0x80) {
    let value = first & 0x40 ? -1n : 0n;
    value = (value << 6n) | BigInt(first & 0x3f);
    for (const byte of block.subarray(offset + 1, offset + length))
      value = (value << 8n) | BigInt(byte);
    return Number(value);
  }
  const text = cString(block.subarray(offset, offset + length)).trim();
  if (text === '') return 0;
  const value = Number.parseInt(text, 8);
  if (Number.isNaN(value)) throw broken('malformed number');
  return value;
}

function checkSum(block: Buffer): void {
  let sum = 0;
  for (let index = 0; index < BLOCK; index++) {
    sum += index >= 148 && index < 156 ? 0x20 : (block[index] ?? 0);
  }
  if (sum !== number(block, 148, 8)) throw broken('header checksum');
}
