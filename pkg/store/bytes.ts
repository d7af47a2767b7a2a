import { assert } from '../model/index.ts';

const LOW_BITS = 0x80;

/** Builds a byte string. Numbers are unsigned LEB128, up to 2^53 - 1. */
export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(expectedBytes = 256) {
    this.#buffer = Buffer.allocUnsafe(expectedBytes);
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
    return this;
  }

  uint(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, `${value} is an unsigned integer`);
    this.#reserve(8);
    let rest = value;
    while (rest >= LOW_BITS) {
      this.#buffer[this.#length++] = (rest % LOW_BITS) + LOW_BITS;
      rest = Math.floor(rest / LOW_BITS);
    }
    this.#buffer[this.#length++] = rest;
    return this;
  }

  /** Length, then the bytes. */
  bytes(value: Uint8Array): this {
    this.uint(value.length);
    return this.raw(value);
  }

  raw(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value, 'utf8'));
  }

  /** What was written; the writer must not be used afterwards. */
  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

/** Reads what ByteWriter wrote. Throws RangeError when there is less than asked for. */
export class ByteReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get done(): boolean {
    return this.#at >= this.#buffer.length;
  }

  u8(): number {
    const value = this.#buffer[this.#at];
    if (value === undefined) throw new RangeError('bytes end too early');
    this.#at++;
    return value;
  }

  uint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.u8();
      value += (byte % LOW_BITS) * scale;
      if (byte < LOW_BITS) break;
      scale *= LOW_BITS;
    }
    if (!Number.isSafeInteger(value)) throw new RangeError('number out of range');
    return value;
  }

  /** A view, not a copy. */
  bytes(): Uint8Array {
    return this.raw(this.uint());
  }

  raw(length: number): Uint8Array {
    const from = this.#skip(length);
    return this.#buffer.subarray(from, this.#at);
  }

  /** That many bytes as hexadecimal digits. */
  hex(length: number): string {
    const from = this.#skip(length);
    return this.#buffer.toString('hex', from, this.#at);
  }

  /** Everything that is left. */
  restText(): string {
    const from = this.#skip(this.#buffer.length - this.#at);
    return this.#buffer.toString('utf8', from);
  }

  text(): string {
    const length = this.uint();
    const from = this.#skip(length);
    return this.#buffer.toString('utf8', from, this.#at);
  }

  /** Where the skipped bytes begin. */
  #skip(length: number): number {
    const from = this.#at;
    if (from + length > this.#buffer.length) throw new RangeError('bytes end too early');
    this.#at = from + length;
    return from;
  }
}
