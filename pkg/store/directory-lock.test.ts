import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LOCK_FILE, lockDirectory } from './directory-lock.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lock-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

/** State and start time, fields 3 and 22 of proc(5) stat. */
function statOf(pid: string): { readonly state: string; readonly startedAt: string } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', startedAt: fields[19] ?? '' };
}

test('a directory has one holder, until it gives it back', () => {
  const lock = lockDirectory(directory);
  expect(() => lockDirectory(directory)).toThrow(`is in use by process ${process.pid}`);
  lock[Symbol.dispose]();
  lockDirectory(directory)[Symbol.dispose]();
});

test('the claim of a process that ended is taken over, also while nobody has asked how it ended', async () => {
  const parent = spawn('sh', ['-c', 'read -r _ <&3 & echo $!; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'ignore', 'pipe'],
  });
  try {
    const [line] = await once(parent.stdout as NodeJS.ReadableStream, 'data');
    const pid = String(line).trim();
    writeFileSync(join(directory, LOCK_FILE), `${pid} ${statOf(pid).startedAt}`);
    expect(() => lockDirectory(directory)).toThrow(`is in use by process ${pid}`);
    (parent.stdio[3] as NodeJS.WritableStream).end('end\n');
    await expect.poll(() => statOf(pid).state).toBe('Z');
    lockDirectory(directory)[Symbol.dispose]();
  } finally {
    parent.kill();
  }
});
