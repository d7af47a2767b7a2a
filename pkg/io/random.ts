import { randomBytes, randomFillSync } from 'node:crypto';

/** Randomness, passed in at `cmd/*` and seeded in simulation. */
export interface Random {
  /** In [0, 1). */
  float(): number;
  bytes(count: number): Uint8Array;
}

/** Drawn ahead: a draw costs the same for sixteen bytes as for thousands. */
const POOL = Buffer.alloc(4096);
const POOLED_MAX = 64;
let used = POOL.length;

export const systemRandom: Random = {
  float: () => Buffer.from(pooled(6)).readUIntBE(0, 6) / 2 ** 48,
  bytes: (count) => (count <= POOLED_MAX ? pooled(count) : randomBytes(count)),
};

/** Each byte is given out once, and then erased. */
function pooled(count: number): Uint8Array {
  if (used + count > POOL.length) {
    randomFillSync(POOL);
    used = 0;
  }
  const bytes = Uint8Array.prototype.slice.call(POOL, used, used + count);
  POOL.fill(0, used, used + count);
  used += count;
  return bytes;
}

const ID_ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz';
const ID_LENGTH = 25;

/** A cluster object's id: 25 characters of [0-9a-z], 129 bits. */
export function newObjectId(random: Random): string {
  let id = '';
  while (id.length < ID_LENGTH) {
    // 252 = 7 * 36: bytes above would favour the first letters.
    for (const byte of random.bytes(ID_LENGTH * 2)) {
      if (byte < 252 && id.length < ID_LENGTH) id += ID_ALPHABET[byte % 36];
    }
  }
  return id;
}

/** A container or image-like id: 64 hexadecimal characters. */
export function newHexId(random: Random): string {
  return Buffer.from(random.bytes(32)).toString('hex');
}

/** A raft id: a random 53-bit integer above 0. */
export function newRaftId(random: Random): number {
  return 1 + Math.floor(random.float() * (Number.MAX_SAFE_INTEGER - 1));
}
