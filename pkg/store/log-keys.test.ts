import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Version } from '../model/index.ts';
import { LogKeys, needsUnlocking, newUnlockKey, unlocks } from './log-keys.ts';

let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-keys-'));
  file = join(folder, 'keys.json');
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = (version: number): Version => version as Version;
const secret = Buffer.from('the root of all keys');

test('what is encrypted is read back, by a later start too, and looks different each time', () => {
  const keys = LogKeys.open(file, { begin: true });
  const [one, two] = [keys.codec.encode(secret), keys.codec.encode(secret)];
  expect(Buffer.from(one).equals(two)).toBe(false);
  expect(Buffer.from(one).includes(secret)).toBe(false);
  const later = LogKeys.open(file, { begin: false });
  expect(Buffer.from(later.codec.decode(one)).equals(secret)).toBe(true);
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test('one flipped bit anywhere is noticed', () => {
  const { codec } = LogKeys.open(file, { begin: true });
  const sealed = codec.encode(secret);
  for (let byte = 0; byte < sealed.length; byte++) {
    const changed = Uint8Array.from(sealed);
    changed[byte] = (changed[byte] ?? 0) ^ 4;
    expect(() => codec.decode(changed)).toThrow();
  }
  expect(() => codec.decode(sealed.subarray(0, 20))).toThrow();
});

test('a log without its key file is refused', () => {
  expect(() => LogKeys.open(file, { begin: false })).toThrow('is missing');
});

test('locked, the key is not in the file, and only the unlock key brings it back', () => {
  const keys = LogKeys.open(file, { begin: true });
  const sealed = keys.codec.encode(secret);
  const plain = (JSON.parse(readFileSync(file, 'utf8')) as { keys: string }).keys;
  const unlockKey = newUnlockKey();
  expect(unlockKey).toMatch(/^SWMKEY-1-[A-Za-z0-9+/]{43}$/);
  keys.follow(unlockKey, at(5));
  expect(readFileSync(file, 'utf8')).not.toContain(plain);
  expect(needsUnlocking(file)).toBe(true);
  for (const wrong of ['', 'SWMKEY-1-abc', newUnlockKey(), unlockKey.slice(9)]) {
    expect(unlocks(file, wrong)).toBe(false);
    expect(() => LogKeys.open(file, { begin: false, unlockKey: wrong })).toThrow('locked');
  }
  expect(unlocks(file, unlockKey)).toBe(true);
  const opened = LogKeys.open(file, { begin: false, unlockKey });
  expect(Buffer.from(opened.codec.decode(sealed)).equals(secret)).toBe(true);
});

test('a new unlock key brings a new key for what is written from then on; the old one still reads', () => {
  const keys = LogKeys.open(file, { begin: true });
  const stolen = readFileSync(file, 'utf8');
  const before = keys.codec.encode(secret);
  const unlockKey = newUnlockKey();
  keys.follow(unlockKey, at(5));
  const after = keys.codec.encode(secret);
  const opened = LogKeys.open(file, { begin: false, unlockKey });
  for (const sealed of [before, after])
    expect(Buffer.from(opened.codec.decode(sealed)).equals(secret)).toBe(true);
  writeFileSync(file, stolen);
  const thief = LogKeys.open(file, { begin: false });
  expect(Buffer.from(thief.codec.decode(before)).equals(secret)).toBe(true);
  expect(() => thief.codec.decode(after)).toThrow('a key that is not here');
});

test('a newer unlock key replaces the one before; an older order, met again in the log, does not', () => {
  const [first, second] = [newUnlockKey(), newUnlockKey()];
  const keys = LogKeys.open(file, { begin: true });
  keys.follow(first, at(5));
  keys.follow(second, at(7));
  const again = LogKeys.open(file, { begin: false, unlockKey: second });
  again.follow(undefined, at(3));
  again.follow(first, at(5));
  expect(unlocks(file, first)).toBe(false);
  expect(unlocks(file, second)).toBe(true);
  again.follow(undefined, at(9));
  expect(needsUnlocking(file)).toBe(false);
});
