/**
 * Simulates seeds: `npx tsx --conditions=source test/sim/store/main.ts [first] [count]`. A failing seed prints the
 * command that repeats it.
 */
import { Random } from '../raft/random.ts';
import { drawPlan } from './plan.ts';
import { simulate } from './simulation.ts';

const [first = '1', count = '1'] = process.argv.slice(2);
const FAILURES_MAX = 3;
const begun = performance.now();
const total: Record<string, number> = {};
let failures = 0;
let played = 0;
for (
  let seed = Number(first);
  played < Number(count) && failures < FAILURES_MAX;
  seed++, played++
) {
  try {
    const { counts, digest } = await simulate(seed);
    for (const [key, value] of Object.entries(counts)) total[key] = (total[key] ?? 0) + value;
    if (count === '1') process.stdout.write(`${digest}\n`);
  } catch (error) {
    failures++;
    const plan = JSON.stringify(drawPlan(new Random(seed)));
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.stack : '';
    process.stdout.write(
      `seed ${seed}: ${error instanceof Error ? error.stack : String(error)}\n${cause}\n${plan}\n`,
    );
    process.stdout.write(`npx tsx --conditions=source test/sim/store/main.ts ${seed}\n`);
  }
}
const each = ((performance.now() - begun) / Math.max(1, played)).toFixed(0);
process.stdout.write(
  `${played} seeds, ${failures} failed, ${each} ms each, ${JSON.stringify(total)}\n`,
);
process.exitCode = failures === 0 ? 0 : 1;
