/**
 * Networks and services come and go by the thousand; what every host holds is counted before and after. Needs root and
 * a build. `npx tsx --conditions=source test/soak/network-cycles.ts [--cycles=10000] [--minutes=600] [--parallel=4]`
 * With `--keep` the cluster and its logs stay as they are when a cycle fails.
 */
import { loadavg } from 'node:os';
import { eventually, TestCluster } from '../cluster/cluster.ts';
import { cycle, heldBy, memoryOf, moreThan, quiet } from '../cluster/network-cycles.ts';
import { option } from '../perf/measure.ts';

const MS_PER_MINUTE = 60_000;
const WARM_UP = 20;
const NOTE_EVERY = 250;
const cycles = option('cycles', 10_000);
const parallel = option('parallel', 4);
const until = performance.now() + option('minutes', 600) * MS_PER_MINUTE;
const keep = process.argv.includes('--keep');
let done = 0;
/** Why it stopped early; what is held is compared all the same. */
let failure: unknown;

/** Several at once, so that the same names, addresses and identifiers go from hand to hand. */
async function cyclesUpTo(cluster: TestCluster, count: number): Promise<void> {
  let next = done;
  const one = async (): Promise<void> => {
    while (next < count && performance.now() < until && failure === undefined) {
      next += 1;
      await cycle(cluster, next);
      done += 1;
      if (done % NOTE_EVERY === 0) note(cluster);
    }
  };
  const stop = (error: unknown): void => {
    failure ??= error;
  };
  await Promise.all(Array.from({ length: parallel }, () => one().catch(stop)));
  if (failure !== undefined && keep) throw failure;
  if (failure !== undefined) await clear(cluster);
}

/** What the cycles that failed left on purpose. */
async function clear(cluster: TestCluster): Promise<void> {
  for (const kind of ['services', 'networks']) {
    const all = await cluster.api<{ ID?: string; Id?: string; Name?: string }[]>(
      'h1',
      'GET',
      `/${kind}`,
    );
    for (const { ID, Id = ID, Name = '' } of all) {
      if (kind === 'networks' && !Name.startsWith('net')) continue;
      await cluster.api('h1', 'DELETE', `/${kind}/${Id}`);
    }
  }
}

function note(cluster: TestCluster): void {
  const line = { cycles: done, memoryMib: memoryOf(cluster), load: loadavg()[0] };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const cluster = await TestCluster.start('cycles', { managers: 1, agents: 2 });
try {
  await cyclesUpTo(cluster, WARM_UP);
  await quiet(cluster);
  const first = await cycle(cluster, 0);
  await quiet(cluster);
  const before = heldBy(cluster);
  note(cluster);
  await cyclesUpTo(cluster, cycles);
  await quiet(cluster);
  let leaked: readonly string[] = [];
  await eventually('what is held to be as before', async () => {
    leaked = moreThan(before, heldBy(cluster));
    return leaked.length === 0;
  }).catch(() => undefined);
  const last = await cycle(cluster, 0);
  await quiet(cluster);
  note(cluster);
  const sameBlock = JSON.stringify(first.IPAM.Config) === JSON.stringify(last.IPAM.Config);
  const sameVni = JSON.stringify(first.Options) === JSON.stringify(last.Options);
  process.stdout.write(
    `${JSON.stringify({ cycles: done, leaked, sameBlock, sameVni, failure: String(failure) })}\n`,
  );
  if (leaked.length > 0 || !sameBlock || !sameVni || failure !== undefined) process.exitCode = 1;
} finally {
  const left = keep && failure !== undefined ? [] : await cluster.stop();
  if (left.length > 0) {
    process.stdout.write(`left behind:\n${left.join('\n')}\n`);
    process.exitCode = 1;
  }
}
