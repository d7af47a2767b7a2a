/**
 * Plants one bug after the other in a copy of the sources and looks whether it is found:
 * `npx tsx --conditions=source test/sim/cluster/mutate.ts [seeds] [part of a name]`.
 */
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MUTANTS, type Mutant } from './mutants.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const COPIED = ['pkg', 'cmd', 'test', 'package.json', 'tsconfig.json', 'vitest.config.ts'];
const LIMIT_MS = 300_000;
const [seeds = '300', part = ''] = process.argv.slice(2);

const copy = mkdtempSync(join(tmpdir(), 'cluster-mutant-'));
let missed = 0;
try {
  for (const name of COPIED) cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  for (const mutant of MUTANTS.filter((each) => each.name.includes(part))) {
    const finding = await plant(mutant, () => look(mutant));
    if (finding === undefined) missed++;
    process.stdout.write(
      `${finding === undefined ? 'MISSED' : 'found '} ${mutant.name}: ${finding ?? mutant.foundBy}\n`,
    );
  }
} finally {
  rmSync(copy, { recursive: true });
}
process.exitCode = missed === 0 ? 0 : 1;

async function plant<T>(mutant: Mutant, use: () => Promise<T>): Promise<T> {
  const path = join(copy, mutant.file);
  const original = readFileSync(path, 'utf8');
  const pieces = original.split(mutant.find);
  if (pieces.length !== 2) throw new Error(`${mutant.name}: text found ${pieces.length - 1} times`);
  writeFileSync(path, pieces.join(mutant.replace));
  try {
    return await use();
  } finally {
    writeFileSync(path, original);
  }
}

/** What was found; undefined: nothing. */
async function look({ foundBy }: Mutant): Promise<string | undefined> {
  if (foundBy !== 'simulation') {
    const args = ['node_modules/vitest/vitest.mjs', 'run', '--project', 'unit', foundBy];
    const output = await run(args);
    return output === undefined ? undefined : `${foundBy} fails`;
  }
  const output = await run([
    ...['--import', 'tsx', '--conditions=source'],
    ...['test/sim/cluster/main.ts', '1', seeds, 'model', '1'],
  ]);
  return output?.split('\n').find((line) => line.startsWith('seed ')) ?? output?.slice(-200);
}

/** The output of a program that failed; undefined when it succeeded. */
function run(args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const options = { cwd: copy, timeout: LIMIT_MS, maxBuffer: 2 ** 28 };
    execFile(process.execPath, [...args], options, (error, stdout, stderr) => {
      resolve(error === null ? undefined : `${stdout}${stderr}`);
    });
  });
}
