/**
 * Simulates seeds: `npx tsx --conditions=source test/sim/cluster/main.ts [first] [count] [model|store] [failures]`. A
 * failing seed prints the command that repeats it; it ends after so many failures (3).
 */
import { type Level, simulate } from './simulation.ts';

const [first = '1', count = '1', level = 'model', failuresMax = '3'] = process.argv.slice(2);
const begun = performance.now();
const total: Record<string, number> = {};
let failures = 0;
let played = 0;
for (
  let seed = Number(first);
  played < Number(count) && failures < Number(failuresMax);
  seed++, played++
) {
  try {
    const { counts, digest } = await simulate(seed, level as Level);
    for (const [key, value] of Object.entries(counts)) total[key] = (total[key] ?? 0) + value;
    if (count === '1') process.stdout.write(`${digest}\n`);
  } catch (error) {
    failures++;
    const causes: string[] = [];
    for (let at = error; at instanceof Error; at = at.cause) causes.push(at.stack ?? '');
    process.stdout.write(
      `seed ${seed}: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    process.stdout.write(`${causes.slice(1).join('\n')}\n`);
    process.stdout.write(
      `npx tsx --conditions=source test/sim/cluster/main.ts ${seed} 1 ${level}\n`,
    );
  }
}
const each = ((performance.now() - begun) / Math.max(1, played)).toFixed(0);
process.stdout.write(
  `${played} seeds, ${failures} failed, ${each} ms each, ${JSON.stringify(total)}\n`,
);
process.exitCode = failures === 0 ? 0 : 1;
