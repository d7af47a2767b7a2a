import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** File below `runDir` that says when the cluster last knew this node. Shims of fenced tasks read it by themselves. */
export function leasePath(runDir: string): string {
  return join(runDir, 'lease');
}

/** Milliseconds of CLOCK_BOOTTIME, which goes on while the machine sleeps; rounded down to 10 ms. */
export function bootTimeMs(): number {
  return Math.floor(Number(readFileSync('/proc/uptime', 'utf8').split(' ', 1)[0]) * 1000);
}

/**
 * The leader heard this node at `atMs` (`bootTimeMs`) or later. In one step: a shim that found the file empty would take
 * the lease for over.
 */
export function renewLease(runDir: string, atMs: number): void {
  const path = leasePath(runDir);
  writeFileSync(`${path}.next`, `${Math.trunc(atMs)}\n`);
  renameSync(`${path}.next`, path);
}

/** What another boot of the machine left lies in the future of this one, and means nothing. */
export function dropStaleLease(runDir: string): void {
  let at: number;
  try {
    at = Number(readFileSync(leasePath(runDir), 'utf8'));
  } catch {
    return;
  }
  if (!(at <= bootTimeMs())) renewLease(runDir, 0);
}
