/**
 * Rolling updates, scaling, drains and pauses of a node for half an hour under TCP and UDP load: every request that
 * fails is printed, and one makes the program fail. Needs root and a build.
 * `npx tsx --conditions=source test/soak/zero-loss.ts [--minutes=30] [--workers=4] [--pause=20]`
 */
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { changeUnderLoad } from '../cluster/change-under-load.ts';
import { TestCluster } from '../cluster/cluster.ts';
import { option } from '../perf/measure.ts';

const MS_PER_MINUTE = 60_000;
/** Lines of logs. */
const TOLD_MAX = 50;
/** A machine that is too busy for its hosts shows here: such a node is given up, and then nobody waits for it. */
const TELLING =
  /node is down|manager lost|network repaired|not applied|not forgotten|not repaired|became leader/;

/** How often each of them was logged, by host; and the lines of the last ones, which say when. */
function troubles(cluster: TestCluster): object {
  const counts: Record<string, number> = {};
  const told: string[] = [];
  for (const { name, dataDir, role } of cluster.lab.hosts) {
    const files = role === 'manager' ? ['agent.log', 'manager.log'] : ['agent.log'];
    const lines = files.flatMap((file) => readFileSync(join(dataDir, file), 'utf8').split('\n'));
    for (const line of lines) {
      const what = TELLING.exec(line)?.[0];
      if (what === undefined) continue;
      counts[`${name}: ${what}`] = (counts[`${name}: ${what}`] ?? 0) + 1;
      told.push(`${name} ${line}`);
    }
  }
  return { counts, told: told.slice(-TOLD_MAX) };
}

const cluster = await TestCluster.start('zeroloss', { managers: 3, agents: 3 });
try {
  const found = await changeUnderLoad(cluster, {
    forMs: option('minutes', 30) * MS_PER_MINUTE,
    workers: option('workers', 4),
    pauseMs: option('pause', 20),
    drained: 'h6',
    onChange: (what) => process.stderr.write(`${new Date().toISOString()} ${what}\n`),
  });
  process.stdout.write(
    `${JSON.stringify({ ...found, troubles: troubles(cluster), load: loadavg() }, null, 2)}\n`,
  );
  if (Object.values(found.clients).some(({ failed }) => failed > 0)) process.exitCode = 1;
} finally {
  const left = await cluster.stop();
  if (left.length > 0) {
    process.stdout.write(`left behind:\n${left.join('\n')}\n`);
    process.exitCode = 1;
  }
}
