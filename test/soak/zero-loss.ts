/**
 * Rolling updates, scaling, drains, rebalancing and pauses of a node for half an hour under TCP and UDP load: every
 * request that fails is printed, and one makes the program fail. Says which failed while a node was given up, and what
 * the hosts hold more or less of at the end than at the beginning. Needs root and a build.
 * `npx tsx --conditions=source test/soak/zero-loss.ts [--minutes=30] [--workers=4] [--pause=20]`
 */
import { readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { changeUnderLoad, lostNodes, type UnderLoad } from '../cluster/change-under-load.ts';
import { TestCluster } from '../cluster/cluster.ts';
import { HeldOverTime } from '../cluster/held-over-time.ts';
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

/** A request that was asked so long before or after a node was given up may have been sent to it. */
const BEFORE_LOSS_MS = 5000;
const AFTER_LOSS_MS = 1000;

/** What failed, by whether a node was given up at that time: its tasks are replaced and nobody waits for it. */
function failures(
  { clients }: UnderLoad,
  lost: readonly Date[],
): { readonly whileNodeWasGivenUp: readonly string[]; readonly others: readonly string[] } {
  const all = Object.entries(clients).flatMap(([name, { errors }]) =>
    errors.map((text) => {
      const asked = Date.parse(/asked at (\S+),/.exec(text)?.[1] ?? '');
      const near = lost.find((at) => {
        const after = asked - at.getTime();
        return after > -BEFORE_LOSS_MS && after < AFTER_LOSS_MS;
      });
      const told = near === undefined ? '' : `, a node was given up at ${near.toISOString()}`;
      return { text: `${name}: ${text}${told}`, isNear: near !== undefined };
    }),
  );
  const texts = (isNear: boolean): readonly string[] =>
    all.filter((one) => one.isNear === isNear).map(({ text }) => text);
  return { whileNodeWasGivenUp: texts(true), others: texts(false) };
}

const cluster = await TestCluster.start('zeroloss', { managers: 3, agents: 3 });
const held = new HeldOverTime(cluster);
try {
  const found = await changeUnderLoad(cluster, {
    forMs: option('minutes', 30) * MS_PER_MINUTE,
    workers: option('workers', 4),
    pauseMs: option('pause', 20),
    drained: 'h6',
    onChange: (what) => {
      process.stderr.write(`${new Date().toISOString()} ${what}\n`);
      if (what === 'scale up') held.look();
    },
  });
  process.stdout.write(
    `${JSON.stringify(
      {
        ...found,
        failures: failures(found, lostNodes(cluster)),
        troubles: troubles(cluster),
        growth: held.growth(),
        load: loadavg(),
      },
      null,
      2,
    )}\n`,
  );
  if (Object.values(found.clients).some(({ failed }) => failed > 0)) process.exitCode = 1;
} finally {
  const left = await cluster.stop();
  if (left.length > 0) {
    process.stdout.write(`left behind:\n${left.join('\n')}\n`);
    process.exitCode = 1;
  }
}
