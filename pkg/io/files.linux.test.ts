import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readJson, writeFileAtomic } from './files.ts';

let disk: string;

beforeEach(() => {
  disk = mkdtempSync(join(tmpdir(), 'files-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', disk]);
});

afterEach(() => {
  execFileSync('umount', [disk]);
  rmSync(disk, { recursive: true });
});

test('what does not fit on the disk whole leaves the file as it was, and nothing beside it', () => {
  const file = join(disk, 'state.json');
  writeFileAtomic(file, '{"is":"old"}');
  const { bavail, bsize } = statfsSync(disk);
  // Room for two blocks of four.
  writeFileSync(join(disk, 'filler'), Buffer.alloc((bavail - 2) * bsize));
  const large = JSON.stringify({ is: 'x'.repeat(4 * bsize) });
  expect(() => writeFileAtomic(file, large)).toThrow('ENOSPC');
  expect(readJson(file)).toEqual({ is: 'old' });
  expect(readdirSync(disk).toSorted()).toEqual(['filler', 'state.json']);
  rmSync(join(disk, 'filler'));
  writeFileAtomic(file, large);
  expect(readJson(file)).toEqual(JSON.parse(large));
});
