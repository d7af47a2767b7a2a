import { createHash } from 'node:crypto';

const SHOWN = 12;

/** Short SHA-256 of a text, for people to compare. */
export function shortDigest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, SHOWN);
}
