/** Size of `struct nlmsghdr` (RFC 3549 section 2.2). */
export const HEADER_LENGTH = 16;
const ATTRIBUTE_HEADER_LENGTH = 4;
const NESTED = 0x8000;
const ATTRIBUTE_TYPE_MASK = 0x3fff;

/** One netlink request without its sequence number: what the codecs make and a socket sends. */
export interface Message {
  readonly type: number;
  /** NLM_F_* beside NLM_F_REQUEST, which the socket adds. */
  readonly flags: number;
  /** Family header and attributes. */
  readonly body: Buffer;
}

export const MessageFlag = {
  request: 0x1,
  ack: 0x4,
  echo: 0x8,
  dumpInterrupted: 0x10,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  append: 0x800,
} as const;

/** Writes header fields and attributes into one growing buffer; integers are little-endian unless named otherwise. */
export class MessageWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity = 512) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const at = this.#reserve(1);
    this.#buffer.writeUInt8(value, at);
    return this;
  }

  u16(value: number): this {
    const at = this.#reserve(2);
    this.#buffer.writeUInt16LE(value, at);
    return this;
  }

  be16(value: number): this {
    const at = this.#reserve(2);
    this.#buffer.writeUInt16BE(value, at);
    return this;
  }

  u32(value: number): this {
    const at = this.#reserve(4);
    this.#buffer.writeUInt32LE(value >>> 0, at);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#reserve(value.length);
    this.#buffer.set(value, at);
    return this;
  }

  /** Overwrites a 32-bit field written before. */
  patchU32(at: number, value: number): void {
    this.#buffer.writeUInt32LE(value >>> 0, at);
  }

  /** Pads to the 4-byte boundary that every attribute and message starts at. */
  align(): this {
    const missing = -this.#length & 3;
    const at = this.#reserve(missing);
    this.#buffer.fill(0, at, at + missing);
    return this;
  }

  attribute(type: number, value: Uint8Array): this {
    return this.u16(ATTRIBUTE_HEADER_LENGTH + value.length)
      .u16(type)
      .bytes(value)
      .align();
  }

  attributeU8(type: number, value: number): this {
    return this.u16(5).u16(type).u8(value).align();
  }

  attributeU16(type: number, value: number): this {
    return this.u16(6).u16(type).u16(value).align();
  }

  attributeBe16(type: number, value: number): this {
    return this.u16(6).u16(type).be16(value).align();
  }

  attributeU32(type: number, value: number): this {
    return this.u16(8).u16(type).u32(value);
  }

  /** nf_tables and conntrack carry integers in network byte order. */
  attributeBe32(type: number, value: number): this {
    this.u16(8).u16(type);
    const at = this.#reserve(4);
    this.#buffer.writeUInt32BE(value >>> 0, at);
    return this;
  }

  /** NUL-terminated. */
  attributeString(type: number, value: string): this {
    const text = Buffer.from(value);
    return this.u16(ATTRIBUTE_HEADER_LENGTH + text.length + 1)
      .u16(type)
      .bytes(text)
      .u8(0)
      .align();
  }

  nested(type: number, write: (writer: this) => void): this {
    const start = this.#length;
    this.u16(0).u16(type | NESTED);
    write(this);
    this.#buffer.writeUInt16LE(this.#length - start, start);
    return this;
  }

  /** One whole message with its header. */
  message(message: Message, sequence: number, extraFlags: number): this {
    this.u32(HEADER_LENGTH + message.body.length)
      .u16(message.type)
      .u16(message.flags | extraFlags | MessageFlag.request)
      .u32(sequence)
      .u32(0);
    return this.bytes(message.body).align();
  }

  /** The bytes so far; not copied, valid until the next write. */
  done(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** May replace the buffer: call it before `this.#buffer` is evaluated. */
  #reserve(count: number): number {
    const at = this.#length;
    if (at + count > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, at + count));
      this.#buffer.copy(larger, 0, 0, at);
      this.#buffer = larger;
    }
    this.#length = at + count;
    return at;
  }
}

/** A body built by a writer. */
export function encodeBody(write: (writer: MessageWriter) => void): Buffer {
  const writer = new MessageWriter();
  write(writer);
  return writer.done();
}

export interface ReceivedMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** View into the receive buffer: copy what must outlive the callback. */
  readonly body: Buffer;
}

/** Splits what one `recv` returned. */
export function* splitMessages(buffer: Buffer): Generator<ReceivedMessage> {
  let offset = 0;
  while (offset + HEADER_LENGTH <= buffer.length) {
    const length = buffer.readUInt32LE(offset);
    if (length < HEADER_LENGTH || offset + length > buffer.length) return;
    yield {
      type: buffer.readUInt16LE(offset + 4),
      flags: buffer.readUInt16LE(offset + 6),
      sequence: buffer.readUInt32LE(offset + 8),
      body: buffer.subarray(offset + HEADER_LENGTH, offset + length),
    };
    offset += (length + 3) & ~3;
  }
}

/** Attributes by type; of repeated ones the last. Malformed tails are ignored, as the kernel does. */
export function readAttributes(buffer: Buffer, start = 0): ReadonlyMap<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  for (const [type, value] of eachAttribute(buffer, start)) attributes.set(type, value);
  return attributes;
}

/** The first attribute of that type, for messages of which there are too many to read whole. */
export function findAttribute(buffer: Buffer, wanted: number, start = 0): Buffer | undefined {
  let offset = start;
  while (offset + ATTRIBUTE_HEADER_LENGTH <= buffer.length) {
    const length = buffer.readUInt16LE(offset);
    if (length < ATTRIBUTE_HEADER_LENGTH || offset + length > buffer.length) return undefined;
    if ((buffer.readUInt16LE(offset + 2) & ATTRIBUTE_TYPE_MASK) === wanted) {
      return buffer.subarray(offset + ATTRIBUTE_HEADER_LENGTH, offset + length);
    }
    offset += (length + 3) & ~3;
  }
  return undefined;
}

/** Attributes in order, for lists whose members share one type. */
export function* eachAttribute(buffer: Buffer, start = 0): Generator<readonly [number, Buffer]> {
  let offset = start;
  while (offset + ATTRIBUTE_HEADER_LENGTH <= buffer.length) {
    const length = buffer.readUInt16LE(offset);
    if (length < ATTRIBUTE_HEADER_LENGTH || offset + length > buffer.length) return;
    const type = buffer.readUInt16LE(offset + 2) & ATTRIBUTE_TYPE_MASK;
    yield [type, buffer.subarray(offset + ATTRIBUTE_HEADER_LENGTH, offset + length)];
    offset += (length + 3) & ~3;
  }
}

/** Text of a NUL-terminated attribute. */
export function readString(value: Buffer | undefined): string {
  if (value === undefined) return '';
  const end = value.indexOf(0);
  return value.toString('utf8', 0, end < 0 ? value.length : end);
}
