/**
 * Simulates seeds: `npx tsx --conditions=source test/sim/raft/main.ts [first] [count]`. Prints the plan of the first
 * failing seed and the command that repeats it.
 */
import * as core from 'raft-js';
import { drawPlan } from './plan.ts';
import { Random } from './random.ts';
import { simulate } from './simulation.ts';

const [first = '1', count = '1'] = process.argv.slice(2);
const begin = Number(first);
const end = begin + Number(count);
const FAILURES_MAX = 3;
const started = performance.now();
const total = { leaders: 0, commits: 0, reads: 0, configs: 0, snapshots: 0 };
let failures = 0;
for (let seed = begin; seed < end && failures < FAILURES_MAX; seed++) {
  try {
    const { counts, digest } = simulate(seed, core);
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += counts[key];
    if (end - begin === 1) process.stdout.write(`${digest}\n`);
  } catch (error) {
    failures++;
    const plan = JSON.stringify(drawPlan(seed, new Random(seed)));
    process.stdout.write(
      `seed ${seed}: ${error instanceof Error ? error.stack : String(error)}\n${plan}\n`,
    );
    process.stdout.write(`npx tsx --conditions=source test/sim/raft/main.ts ${seed}\n`);
  }
}
const seconds = (performance.now() - started) / 1000;
const rate = ((seconds * 1000) / (end - begin)).toFixed(1);
process.stdout.write(
  `${end - begin} seeds, ${failures} failed, ${rate} ms each, ${JSON.stringify(total)}\n`,
);
process.exitCode = failures === 0 ? 0 : 1;
