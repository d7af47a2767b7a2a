import { Transform, type TransformCallback } from 'node:stream';
import { invalid } from './failure.ts';

const DEFAULT_KEYS = 'ctrl-p,ctrl-q';
const CONTROL_SYMBOLS: ReadonlyMap<string, number> = new Map([
  ['@', 0],
  ['[', 27],
  ['\\', 28],
  [']', 29],
  ['^', 30],
  ['_', 31],
]);

/** `ctrl-p,ctrl-q`, or plain characters, as the bytes a terminal sends. Throws kind `invalid` for anything else. */
export function parseDetachKeys(text: string | undefined): Buffer {
  return Buffer.from((text || DEFAULT_KEYS).split(',').map(keyByte));
}

function keyByte(key: string): number {
  const control = /^ctrl-(.)$/.exec(key)?.[1];
  if (control === undefined) {
    if (key.length === 1) return key.charCodeAt(0);
    throw invalid(`Unknown character: '${key}'`);
  }
  const symbol = CONTROL_SYMBOLS.get(control);
  if (symbol !== undefined) return symbol;
  const letter = control.toLowerCase().charCodeAt(0) - 0x60;
  if (letter >= 1 && letter <= 26) return letter;
  throw invalid(`Unknown character: '${key}'`);
}

/** Passes a terminal's input on until the detach keys are typed; they reach nobody, and `detached` is called. */
export class DetachFilter extends Transform {
  readonly #keys: Buffer;
  readonly #detached: () => void;
  #matched = 0;

  constructor(keys: Buffer, detached: () => void) {
    super();
    this.#keys = keys;
    this.#detached = detached;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const passed: number[] = [];
    for (const byte of chunk) {
      if (byte !== this.#keys[this.#matched]) {
        passed.push(...this.#keys.subarray(0, this.#matched));
        this.#matched = 0;
      }
      if (byte === this.#keys[this.#matched]) this.#matched += 1;
      else passed.push(byte);
      if (this.#matched === this.#keys.length) {
        this.#matched = 0;
        this.#detached();
      }
    }
    done(null, Buffer.from(passed));
  }

  override _flush(done: TransformCallback): void {
    done(null, Buffer.from(this.#keys.subarray(0, this.#matched)));
  }
}
