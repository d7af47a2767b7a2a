import type { NetworkKeys } from './cluster.ts';
import type { InstantMs } from './id.ts';

/** The last, the present and the next one: hosts may be one rotation apart and still understand each other. */
const KEYS_KEPT = 3;

/** @param secrets two times 32 random bytes, base64: for now and for after the first rotation */
export function firstNetworkKeys(secrets: readonly [string, string], now: InstantMs): NetworkKeys {
  const keys = secrets.map((secret, at) => ({ number: at + 1, secret }));
  return { keys, current: 1, rotatedAt: now };
}

/**
 * The next key comes into use, which every host has had since the last rotation; `secret` is for the one after.
 * @param secret 32 random bytes, base64
 */
export function nextNetworkKeys(before: NetworkKeys, secret: string, now: InstantMs): NetworkKeys {
  const last = before.keys.at(-1)?.number ?? 0;
  const keys = [...before.keys, { number: last + 1, secret }].slice(-KEYS_KEPT);
  return { keys, current: last, rotatedAt: now };
}
