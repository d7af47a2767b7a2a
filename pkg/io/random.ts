import { randomBytes } from 'node:crypto';

/** Randomness, passed in at `cmd/*` and seeded in simulation. */
export interface Random {
  /** In [0, 1). */
  float(): number;
  bytes(count: number): Uint8Array;
}

export const systemRandom: Random = {
  float: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
  bytes: (count) => randomBytes(count),
};

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
