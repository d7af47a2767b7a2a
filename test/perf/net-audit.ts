/**
 * What the audit of a host costs that finds nothing: the longest turn of the agent's event loop and the whole, after one
 * endpoint changed and when nothing did. `npx tsx --conditions=source test/perf/net-audit.ts [--containers=100] [--runs=5]`. Needs root.
 */
import { NetworkLab } from '../../pkg/overlaynet/testing/lab.ts';
import { longestTurn, median, option, report, round } from './measure.ts';
import { attachOwn, HERE, tableOf, toggled } from './net-services.ts';

const containers = option('containers', 100);
const runs = option('runs', 5);

for (const services of [10, 1000]) {
  const lab = new NetworkLab();
  try {
    const host = await lab.host('h1', HERE);
    let table = tableOf(services, containers);
    host.applyTables([table]);
    for (let index = 0; index < containers; index++) {
      await attachOwn(lab, host, table, { index, containers });
    }
    await host.repair();
    const rounds: Record<'quiet' | 'changed', Awaited<ReturnType<typeof longestTurn>>[]> = {
      quiet: [],
      changed: [],
    };
    for (let run = 0; run < runs; run++) {
      rounds.quiet.push(await longestTurn(() => host.repair()));
      table = toggled(table, 0, run + 2);
      host.applyTables([table]);
      rounds.changed.push(await longestTurn(() => host.repair()));
    }
    for (const [what, all] of Object.entries(rounds)) {
      report(
        `longest turn of a full audit, ${containers} containers, ${services} services, ${what}`,
        'ms',
        all.map(({ longestMs }) => longestMs),
        { wholeMs: round(median(all.map(({ wholeMs }) => wholeMs))) },
      );
    }
  } finally {
    await lab.close();
  }
}
