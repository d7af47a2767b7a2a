/**
 * How soon all hosts hold the same network tables after partitions, agent kills and churn, with real agents: median,
 * p99 and the slowest schedule; 10 s is the promise. Needs root and a build.
 * `npx tsx --conditions=source test/soak/partitions.ts [--schedules=100] [--hosts=25] [--services=50] [--networks=5] [--cut=30] [--seed=1]`
 * With `--keep` the first schedule that fails ends it, and the cluster and its logs stay as they are. All hosts share one
 * kernel's neighbour table, whose limits are raised meanwhile: they are seen in the first network namespace of a machine alone.
 */
import { loadavg } from 'node:os';
import { TestCluster } from '../cluster/cluster.ts';
import { raiseNeighbourLimits } from '../cluster/neighbours.ts';
import { populate, runSchedule, type Schedule } from '../cluster/partition.ts';
import { median, option, quantile } from '../perf/measure.ts';

const PROMISE_MS = 10_000;
const schedules = option('schedules', 100);
const hosts = option('hosts', 25);
const world = { networks: option('networks', 5), services: option('services', 50) };
const firstSeed = option('seed', 1);
const cutMs = option('cut', 30) * 1000;
const keep = process.argv.includes('--keep');

const putBack = raiseNeighbourLimits();
const cluster = await TestCluster.start('partitions', { managers: 1, agents: hosts - 1 });
const done: Schedule[] = [];
const failed: number[] = [];
try {
  await populate(cluster, world);
  for (let seed = firstSeed; seed < firstSeed + schedules; seed++) {
    try {
      const schedule = await runSchedule(cluster, world, { seed, cutMs });
      done.push(schedule);
      process.stdout.write(`${JSON.stringify({ ...schedule, load: loadavg()[0] })}\n`);
    } catch (error) {
      failed.push(seed);
      process.stdout.write(
        `${JSON.stringify({ seed, error: String(error), load: loadavg()[0] })}\n`,
      );
      if (keep) break;
    }
  }
} finally {
  const times = done.map(({ convergedMs }) => convergedMs);
  const late = done.filter(({ convergedMs }) => convergedMs > PROMISE_MS);
  const summary = {
    schedules: done.length,
    failed,
    hosts,
    ...world,
    medianMs: median(times),
    p99Ms: quantile(times, 0.99),
    slowestMs: Math.max(...times),
    late: late.map(({ seed }) => seed),
    load: loadavg(),
  };
  process.stdout.write(`${JSON.stringify(summary)}\n`);
  const left = keep && failed.length > 0 ? [] : await cluster.stop();
  putBack();
  if (left.length > 0) process.stdout.write(`left behind:\n${left.join('\n')}\n`);
  if (late.length > 0 || left.length > 0 || done.length < schedules) process.exitCode = 1;
}
