/**
 * Twenty updates and rollbacks of a real cluster, in the middle of each the leading manager is killed:
 * `npx tsx --conditions=source test/soak/rollouts.ts [--cases=1,4,7] [--rounds=1]`.
 */
import { loadavg } from 'node:os';
import { TestCluster } from '../cluster/cluster.ts';
import { runRollout } from '../cluster/rollout.ts';
import { nameOf, ROLLOUTS } from '../cluster/rollouts.ts';
import { option } from '../perf/measure.ts';

const wanted = process.argv.find((word) => word.startsWith('--cases='))?.slice('--cases='.length);
const numbers = wanted?.split(',').map(Number) ?? ROLLOUTS.map((_, at) => at + 1);
const rounds = option('rounds', 1);

const cluster = await TestCluster.start('rollouts', { managers: 3, agents: 3 });
let wrong = 0;
let run = 0;
try {
  for (let round = 0; round < rounds; round++) {
    for (const number of numbers) {
      const rollout = ROLLOUTS[number - 1];
      if (rollout === undefined)
        throw new Error(`there is no case ${number} of ${ROLLOUTS.length}`);
      const { problems, late, seconds, end, story } = await runRollout(cluster, rollout);
      run += 1;
      const all = late ? [...problems, `more than ${rollout.seconds[1]} s`] : problems;
      if (all.length > 0) wrong += 1;
      const verdict = all.length === 0 ? 'as specified' : `WRONG: ${all.join('; ')}`;
      const load = loadavg()[0]?.toFixed(1);
      process.stdout.write(
        `${number}: ${nameOf(rollout)} in ${seconds.toFixed(1)} s (${end}), load ${load}: ${verdict}\n`,
      );
      if (all.length > 0) process.stdout.write(`  ${story.join('\n  ')}\n`);
    }
  }
  process.stdout.write(`${run - wrong} of ${run} as specified\n`);
} finally {
  await cluster.stop();
}
process.exitCode = wrong === 0 ? 0 : 1;
