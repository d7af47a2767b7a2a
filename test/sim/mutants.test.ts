/** Whether the simulations still see anything: bugs that few seeds must find are planted, and have to be found. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { MUTANTS as CLUSTER } from './cluster/mutants.ts';
import { MUTANTS as RAFT } from './raft/mutants.ts';
import { MUTANTS as STORE } from './store/mutants.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

test('every bug can still be planted: its text is there once', () => {
  for (const { name, file, find, replace } of [...RAFT, ...STORE, ...CLUSTER]) {
    const pieces = readFileSync(`${root}${file}`, 'utf8').split(find);
    expect(pieces.length, `"${name}" in ${file}`).toBe(2);
    expect(replace).not.toBe(find);
  }
});

test.each(['raft', 'store'])(
  'the simulation of %s finds planted bugs',
  { timeout: 600_000 },
  async (subject) => {
    const script = [
      '--conditions=source',
      'test/sim/mutate.ts',
      subject,
      '--easy',
      '--seeds',
      '60',
    ];
    const run = promisify(execFile)('node_modules/.bin/tsx', script, { cwd: root });
    const { stdout } = await run.catch((error: { stdout: string }) => error);
    expect(stdout).toMatch(/^([5-9]) of \1 found$/m);
  },
);
