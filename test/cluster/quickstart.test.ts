import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { kernelState } from './kernel-state.ts';

const ROOT = resolve(import.meta.dirname, '../..');

function npm(...args: readonly string[]): { readonly code: number; readonly out: string } {
  const done = spawnSync('npm', ['run', '-s', ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 280_000,
  });
  return { code: done.status ?? 1, out: done.stdout + done.stderr };
}

afterAll(() => {
  npm('quickstart', '--', '--down');
});

test('the quickstart works, works again, and leaves the machine as it was', () => {
  npm('quickstart', '--', '--down');
  const before = new Set(kernelState('quickstart'));
  for (const _ of ['first', 'second']) {
    const { code, out } = npm('quickstart');
    expect(out).toMatch(/hello_web\.1[\s\S]*Running/);
    for (const host of [11, 12, 13, 14, 15, 16]) {
      expect(out).toMatch(new RegExp(`172\\.30\\.0\\.${host}:8080 +hello from`));
    }
    expect(out).not.toContain('web does not answer yet\nweb does not answer yet\n\n');
    expect(code).toBe(0);
  }
  const { code } = npm('quickstart', '--', '--down');
  expect(code).toBe(0);
  expect(kernelState('quickstart').filter((line) => !before.has(line))).toEqual([]);
  expect(existsSync('/var/lib/muster/labs/quickstart')).toBe(false);
}, 600_000);
