import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readJson, writeFileAtomic } from '../io/index.ts';
import { ClusterError, must, type Version } from '../model/index.ts';
import type { FrameCodec } from './frame-codec.ts';

/**
 * The file beside the log: its keys, oldest first, plain or wrapped in the cluster's unlock key. `asOf` is the version of the cluster
 * object that said which; older ones, met again while the log is replayed, are not followed.
 */
interface KeyFile {
  readonly asOf: number;
  readonly keys?: string | undefined;
  readonly wrapped?: string | undefined;
}

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const NUMBER_BYTES = 2;
const FORMAT = 1;
const UNLOCK_KEY_PREFIX = 'SWMKEY-1-';
const COUNTER_MAX = 0xffffffff;

/** A fresh unlock key in Docker's form: `SWMKEY-1-` and 32 random bytes in base64 without padding. */
export function newUnlockKey(): string {
  return UNLOCK_KEY_PREFIX + randomBytes(KEY_BYTES).toString('base64').replace(/=+$/, '');
}

/** Looks like one, whatever it opens. */
export function isUnlockKey(text: string): boolean {
  const encoded = text.slice(UNLOCK_KEY_PREFIX.length);
  return text.startsWith(UNLOCK_KEY_PREFIX) && /^[A-Za-z0-9+/]+$/.test(encoded);
}

/** The file's keys can only be had with the unlock key. False when there is no file. */
export function needsUnlocking(file: string): boolean {
  return read(file)?.wrapped !== undefined;
}

/** Whether `unlockKey` opens the file. */
export function unlocks(file: string, unlockKey: string): boolean {
  const wrapped = read(file)?.wrapped;
  return wrapped !== undefined && unwrap(wrapped, unlockKey) !== undefined;
}

/**
 * The keys that one replica's files are encrypted with, and how they are kept. Each new unlock key begins with a new key for what is
 * written from then on: the one before may have been read, plain or with the old unlock key. It stays for what it encrypted.
 */
export class LogKeys {
  readonly codec: FrameCodec;
  readonly #file: string;
  readonly #keys: Buffer[];
  #asOf: number;
  #unlockKey: string | undefined;

  private constructor(file: string, keys: Buffer, state: { asOf: number; unlockKey?: string }) {
    this.#file = file;
    this.#keys = split(keys);
    this.#asOf = state.asOf;
    this.#unlockKey = state.unlockKey;
    this.codec = encryption(this.#keys);
  }

  /**
   * The keys of `file`; `begin` allows to make new ones when there is no such file.
   * @throws ClusterError unavailable when it is locked and `unlockKey` does not open it, system when it is missing
   */
  static open(
    file: string,
    options: { readonly begin: boolean; readonly unlockKey?: string | undefined },
  ): LogKeys {
    const content = read(file);
    if (content === undefined) {
      if (!options.begin) {
        throw new ClusterError('system', `there is a log, but its key file ${file} is missing`);
      }
      const fresh = new LogKeys(file, randomBytes(KEY_BYTES), { asOf: 0 });
      fresh.#write();
      return fresh;
    }
    const { asOf, wrapped, keys = '' } = content;
    if (wrapped === undefined) return new LogKeys(file, Buffer.from(keys, 'base64'), { asOf });
    const { unlockKey = '' } = options;
    const opened = unwrap(wrapped, unlockKey);
    if (opened !== undefined) return new LogKeys(file, opened, { asOf, unlockKey });
    throw new ClusterError('unavailable', 'this manager is locked', { code: 'ERR_LOCKED' });
  }

  /** The cluster object of version `asOf` wants the keys wrapped in `unlockKey`, or plain. Durable on return. */
  follow(unlockKey: string | undefined, asOf: Version): void {
    if (asOf <= this.#asOf) return;
    const same = unlockKey === this.#unlockKey;
    this.#asOf = asOf;
    this.#unlockKey = unlockKey;
    if (same) return;
    const fresh = unlockKey === undefined ? [] : [randomBytes(KEY_BYTES)];
    this.#write(fresh);
    this.#keys.push(...fresh);
  }

  #write(fresh: readonly Buffer[] = []): void {
    const keys = Buffer.concat([...this.#keys, ...fresh]);
    const content: KeyFile =
      this.#unlockKey === undefined
        ? { asOf: this.#asOf, keys: keys.toString('base64') }
        : { asOf: this.#asOf, wrapped: wrap(keys, this.#unlockKey) };
    writeFileAtomic(this.#file, JSON.stringify(content), 0o600);
  }
}

function read(file: string): KeyFile | undefined {
  return readJson(file) as KeyFile | undefined;
}

function split(keys: Buffer): Buffer[] {
  const count = Math.floor(keys.length / KEY_BYTES);
  return Array.from({ length: count }, (_, at) =>
    keys.subarray(at * KEY_BYTES, (at + 1) * KEY_BYTES),
  );
}

/** Number of the key in 16 bits, then what `seal` makes. The newest key encrypts. */
function encryption(keys: readonly Buffer[]): FrameCodec {
  // Random for each start and counted within: a nonce is never used twice with one key.
  let prefix = randomBytes(NONCE_BYTES - 4);
  let counter = 0;
  return {
    encode: (payload): Uint8Array => {
      if (counter === COUNTER_MAX) {
        prefix = randomBytes(NONCE_BYTES - 4);
        counter = 0;
      }
      const nonce = Buffer.alloc(NONCE_BYTES);
      nonce.set(prefix);
      nonce.writeUInt32BE(counter++, prefix.length);
      const number = keys.length - 1;
      const head = Buffer.alloc(NUMBER_BYTES);
      head.writeUInt16BE(number);
      return Buffer.concat([head, seal(must(keys[number], 'a key'), nonce, payload)]);
    },
    decode: (payload): Uint8Array => {
      const [high = 0, low = 0] = payload;
      const key = keys[high * 256 + low];
      if (key === undefined) throw new RangeError('encrypted with a key that is not here');
      return open(key, payload.subarray(NUMBER_BYTES));
    },
  };
}

/** AES-256-GCM: format, nonce, ciphertext, tag. */

function seal(key: Uint8Array, nonce: Uint8Array, payload: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  const head = Buffer.concat([Buffer.from([FORMAT]), nonce]);
  cipher.setAAD(head);
  return Buffer.concat([head, cipher.update(payload), cipher.final(), cipher.getAuthTag()]);
}

/** @throws Error when `sealed` was not made with this key, or was changed */
function open(key: Uint8Array, sealed: Uint8Array): Buffer {
  const headBytes = 1 + NONCE_BYTES;
  if (sealed.length < headBytes + TAG_BYTES || sealed[0] !== FORMAT)
    throw new RangeError('not encrypted in a known way');
  const nonce = sealed.subarray(1, headBytes);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(sealed.subarray(0, headBytes));
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const body = decipher.update(sealed.subarray(headBytes, sealed.length - TAG_BYTES));
  return Buffer.concat([body, decipher.final()]);
}

function wrap(key: Uint8Array, unlockKey: string): string {
  const bytes = unlockBytes(unlockKey);
  if (!bytes) throw new ClusterError('invalid', 'the unlock key has no known form');
  return seal(bytes, randomBytes(NONCE_BYTES), key).toString('base64');
}

function unwrap(wrapped: string, unlockKey: string): Buffer | undefined {
  const bytes = unlockBytes(unlockKey);
  if (!bytes) return undefined;
  try {
    return open(bytes, Buffer.from(wrapped, 'base64'));
  } catch {
    return undefined;
  }
}

function unlockBytes(unlockKey: string): Buffer | undefined {
  if (!unlockKey.startsWith(UNLOCK_KEY_PREFIX)) return undefined;
  const bytes = Buffer.from(unlockKey.slice(UNLOCK_KEY_PREFIX.length), 'base64');
  return bytes.length === KEY_BYTES ? bytes : undefined;
}
