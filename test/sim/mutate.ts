/**
 * Plants one bug after the other in a copy of the sources and simulates seeds 1, 2, 3 … until it is found, or runs the
 * test that has to find it: `npx tsx --conditions=source test/sim/mutate.ts raft|store|cluster [--seeds 400] [--only PART]
 * [--easy]`. `--easy`: only those that few seeds must find, as a check that the simulation sees anything at all. Exit
 * code 1 when one is not found.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs, stripVTControlCharacters } from 'node:util';
import { MUTANTS as CLUSTER } from './cluster/mutants.ts';
import type * as ClusterSimulation from './cluster/simulation.ts';
import { type Mutant, withPlanted } from './plant.ts';
import { EASY as EASY_RAFT, MUTANTS as RAFT } from './raft/mutants.ts';
import type * as RaftSimulation from './raft/simulation.ts';
import { EASY as EASY_STORE, MUTANTS as STORE } from './store/mutants.ts';
import type * as StoreSimulation from './store/simulation.ts';

/** Plays one seed; throws what goes wrong. */
type Play = (seed: number) => Promise<unknown>;
/** A seed or a test, and what it says. */
type Finding = readonly [string, string];

interface Subject {
  readonly mutants: readonly Mutant[];
  readonly easy: readonly string[];
  /** What a copy needs to be simulated. */
  readonly folders: readonly string[];
  load(root: string): Promise<Play>;
}

const TEST_LIMIT_MS = 300_000;
/** What a copy needs for its unit tests. */
const TESTED = ['pkg', 'cmd', 'test', 'docs', 'tsconfig.json', 'vitest.config.ts'];

const SUBJECTS = {
  raft: { mutants: RAFT, easy: EASY_RAFT, folders: ['pkg/raft', 'test'], load: loadRaft },
  store: { mutants: STORE, easy: EASY_STORE, folders: ['pkg', 'test'], load: loadStore },
  cluster: { mutants: CLUSTER, easy: [], folders: ['pkg', 'cmd', 'test'], load: loadCluster },
} as const;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '400' },
    only: { type: 'string', default: '' },
    easy: { type: 'boolean', default: false },
  },
});
const [name] = positionals;
if (name !== 'raft' && name !== 'store' && name !== 'cluster')
  throw new Error('say which simulation: raft, store or cluster');
const subject: Subject = SUBJECTS[name];
const chosen = subject.mutants.filter(
  (mutant) =>
    mutant.name.includes(values.only) && (!values.easy || subject.easy.includes(mutant.name)),
);
let missed = 0;
process.stdout.write('| planted bug | found by | how |\n|---|---|---|\n');
for (const mutant of chosen) {
  const { foundBy } = mutant;
  const finding = foundBy
    ? await withPlanted(mutant, TESTED, (root) => failingTest(root, foundBy))
    : await withPlanted(mutant, subject.folders, async (root) =>
        firstFinding(await subject.load(root), Number(values.seeds)),
      );
  if (finding === undefined) missed++;
  const [seed, how] = finding ?? ['MISSED', ''];
  process.stdout.write(`| ${mutant.name} | ${seed} | ${how} |\n`);
}
process.stdout.write(`${chosen.length - missed} of ${chosen.length} found\n`);
process.exitCode = missed === 0 && chosen.length > 0 ? 0 : 1;

async function loadRaft(root: string): Promise<Play> {
  const core = await load<RaftSimulation.Core>(root, 'pkg/raft/index.ts');
  const { simulate } = await import('./raft/simulation.ts');
  return async (seed) => simulate(seed, core);
}

async function loadStore(root: string): Promise<Play> {
  const { simulate } = await load<typeof StoreSimulation>(root, 'test/sim/store/simulation.ts');
  return simulate;
}

async function loadCluster(root: string): Promise<Play> {
  const { simulate } = await load<typeof ClusterSimulation>(root, 'test/sim/cluster/simulation.ts');
  return (seed) => simulate(seed, 'model');
}

async function load<T>(root: string, file: string): Promise<T> {
  return (await import(pathToFileURL(join(root, file)).href)) as T;
}

async function firstFinding(play: Play, count: number): Promise<Finding | undefined> {
  for (let seed = 1; seed <= count; seed++) {
    try {
      await play(seed);
    } catch (error) {
      const how = whatOf(error);
      // A planted text that does not run is no bug that was found.
      if (/ is not defined/.test(how)) throw error;
      return [`seed ${seed}`, how];
    }
  }
  return undefined;
}

/** The name of the first test that fails there. */
function failingTest(root: string, test: string): Promise<Finding | undefined> {
  const args = ['node_modules/vitest/vitest.mjs', 'run', '--project', 'unit', test];
  const options = { cwd: root, timeout: TEST_LIMIT_MS, maxBuffer: 2 ** 28 };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      const failed = /FAIL.*?> (.*)/.exec(stripVTControlCharacters(stderr));
      if (failed) resolve([test, failed[1] ?? '']);
      else if (error) reject(new Error(`${test} did not run: ${stdout}${stderr}`));
      else resolve(undefined);
    });
  });
}

function whatOf(error: unknown): string {
  const lines = [];
  for (let at = error; at instanceof Error; at = at.cause) lines.push(at.message.split('\n')[0]);
  return lines.join(': ').replaceAll('|', '/').slice(0, 160);
}
