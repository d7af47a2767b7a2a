/** Demotions and promotions in a loop: `npx tsx --conditions=source test/cluster/demotions.ts [--rounds=100]`. */
import { withLab } from '../perf/lab.ts';
import { option, quantile, report, round } from '../perf/measure.ts';
import { type DemotionRound, demotionRounds } from './demotion-rounds.ts';

await withLab('demotions', { managers: 3, agents: 0 }, async (lab) => {
  const all: DemotionRound[] = [];
  for await (const done of demotionRounds(lab, option('rounds', 100))) {
    all.push(done);
    const { kind, gapMs, failures } = done;
    process.stderr.write(`${all.length} ${kind}: gap ${Math.round(gapMs)} ms ${failures}\n`);
  }
  for (const kind of ['leader of three', 'leader of two', 'follower of two'] as const) {
    const own = all.filter((each) => each.kind === kind);
    const gaps = own.map(({ gapMs }) => gapMs);
    report(
      `demoted and promoted again: ${kind}, longest gap between acknowledged writes`,
      'ms',
      gaps,
      {
        rounds: own.length,
        p99: round(quantile(gaps, 0.99)),
        max: round(Math.max(...gaps)),
        failedWrites: own.flatMap(({ failures }) => failures).length,
      },
    );
  }
});
