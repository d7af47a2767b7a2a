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
  /node is down|manager lost|network repaired|not applied|not forgotten|not repaired|became leader|questions unanswered|stop of a task not waited for/;

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
/** A host says so of datagrams that it waited for in vain; it does at the latest so long after they were sent. */
const UNANSWERED = '"a backend left with questions unanswered"';
const TOLD_AFTER_MS = 3000;

interface Failures {
  /** A node was given up at that time: its tasks are replaced and nobody waits for it. */
  readonly nodeGivenUp: readonly string[];
  /** A host waited for answers of a backend as long as it ever does: that had no processor. */
  readonly waitedInVain: readonly string[];
  readonly others: readonly string[];
}

function failures(cluster: TestCluster, { clients }: UnderLoad): Failures {
  const [lost, vain] = [lostNodes(cluster), waitsInVain(cluster)];
  const found = {
    nodeGivenUp: [] as string[],
    waitedInVain: [] as string[],
    others: [] as string[],
  };
  for (const [name, { errors }] of Object.entries(clients)) {
    for (const error of errors) {
      const asked = Date.parse(/asked at (\S+),/.exec(error)?.[1] ?? '');
      const within = (times: readonly Date[], before: number, after: number): Date | undefined =>
        times.find((at) => at.getTime() - asked < before && asked - at.getTime() < after);
      const down = within(lost, BEFORE_LOSS_MS, AFTER_LOSS_MS);
      const told = name.endsWith('udp') ? within(vain, TOLD_AFTER_MS, 0) : undefined;
      const text = `${name}: ${error}`;
      if (down) found.nodeGivenUp.push(`${text}; a node was given up at ${down.toISOString()}`);
      else if (told) found.waitedInVain.push(`${text}; given up at ${told.toISOString()}`);
      else found.others.push(text);
    }
  }
  return found;
}

function waitsInVain({ lab }: TestCluster): readonly Date[] {
  return lab.hosts
    .flatMap(({ dataDir }) => readFileSync(join(dataDir, 'agent.log'), 'utf8').split('\n'))
    .filter((line) => line.includes(UNANSWERED))
    .map((line) => new Date((JSON.parse(line) as { readonly time: string }).time));
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
        failures: failures(cluster, found),
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
