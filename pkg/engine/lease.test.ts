import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { bootTimeMs, dropStaleLease, leasePath, renewLease } from './lease.ts';

let directory: string;
const read = (): number => Number(readFileSync(leasePath(directory), 'utf8'));

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lease-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

test('a lease is renewed in one step: who opened it before reads all of what it said then', () => {
  renewLease(directory, 1_000);
  const before = openSync(leasePath(directory), 'r');
  try {
    renewLease(directory, 2_000);
    expect([Number(readFileSync(before, 'utf8')), read()]).toEqual([1_000, 2_000]);
  } finally {
    closeSync(before);
  }
  expect(readdirSync(directory)).toEqual(['lease']);
});

test('a lease of another boot of the machine is dropped, one of this boot stays', () => {
  const now = bootTimeMs();
  renewLease(directory, now + 60_000);
  dropStaleLease(directory);
  expect(read()).toBe(0);
  renewLease(directory, now);
  dropStaleLease(directory);
  expect(read()).toBe(now);
});
