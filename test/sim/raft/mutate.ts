/**
 * Plants one bug after the other in a copy of the core and simulates until it is found:
 * `npx tsx --conditions=source test/sim/raft/mutate.ts [seeds] [part of a name]`.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MUTANTS, type Mutant } from './mutants.ts';
import { type Core, simulate } from './simulation.ts';

const SOURCE = new URL('../../../pkg/raft/', import.meta.url);
const [seeds = '400', part = ''] = process.argv.slice(2);

let missed = 0;
for (const mutant of MUTANTS.filter((each) => each.name.includes(part))) {
  const finding = await withMutant(mutant, (core) => firstFinding(core, Number(seeds)));
  if (finding === undefined) missed++;
  process.stdout.write(
    `${finding === undefined ? 'MISSED' : 'found '} ${mutant.name}: ${finding ?? ''}\n`,
  );
}
process.exitCode = missed === 0 ? 0 : 1;

async function withMutant<T>(mutant: Mutant, use: (core: Core) => T): Promise<T> {
  const copy = mkdtempSync(join(tmpdir(), 'raft-mutant-'));
  try {
    cpSync(SOURCE, copy, { recursive: true, filter: (path) => !path.includes('node_modules') });
    const path = join(copy, mutant.file);
    const pieces = readFileSync(path, 'utf8').split(mutant.find);
    if (pieces.length !== 2)
      throw new Error(`${mutant.name}: text found ${pieces.length - 1} times`);
    writeFileSync(path, pieces.join(mutant.replace));
    const core: unknown = await import(pathToFileURL(join(copy, 'index.ts')).href);
    return use(core as Core);
  } finally {
    rmSync(copy, { recursive: true });
  }
}

function firstFinding(core: Core, count: number): string | undefined {
  for (let seed = 1; seed <= count; seed++) {
    try {
      simulate(seed, core);
    } catch (error) {
      return `seed ${seed}, ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`;
    }
  }
  return undefined;
}
