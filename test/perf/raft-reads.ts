/**
 * Linearizable reads per second through the store's interface of one member, 64 at a time, three members, at the leader
 * and at a follower, against etcd's linearizable gets at its leader in alternating runs; and reads per second of
 * processor time, all members counted (of the store also the readers, which are in the member's process):
 * `npx tsx --conditions=source test/perf/raft-reads.ts [--runs=5] [--ms=1500] [--in-flight=64]`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEtcd } from './etcd.ts';
import {
  alternate,
  measureRate,
  median,
  option,
  type Rate,
  report,
  reportRates,
  withCpu,
} from './measure.ts';
import { startGroup } from './raft-group.ts';

const runs = option('runs', 5);
const ms = option('ms', 1500);
const inFlight = option('in-flight', 64);
const folder = mkdtempSync(join(tmpdir(), 'muster-perf-'));

function perCoreSecond(rates: readonly Rate[]): number {
  return 1_000_000 / median(rates.flatMap(({ cpuUs }) => cpuUs ?? []));
}

const group = await startGroup(folder);
try {
  const etcd = await startEtcd(folder);
  try {
    await etcd.put();
    await group.write(1, 1);
    const rates = await alternate(runs, {
      leader: () => withCpu(group, () => group.read(1, inFlight, ms)),
      follower: () => withCpu(group, () => group.read(2, inFlight, ms)),
      etcd: () => withCpu(etcd, () => measureRate(inFlight, ms, () => etcd.get())),
    });
    const peer = rates.get('etcd') ?? [];
    const others = reportRates(`etcd linearizable gets, ${inFlight} in flight`, peer);
    for (const where of ['leader', 'follower']) {
      const own = rates.get(where) ?? [];
      const name = `store reads at the ${where}`;
      const perSecond = reportRates(`${name}, ${inFlight} in flight`, own);
      report(`${name} to etcd gets`, 'ratio', [perSecond / others]);
      const ratio = perCoreSecond(own) / perCoreSecond(peer);
      report(`${name} to etcd gets, per second of processor time`, 'ratio', [ratio]);
    }
  } finally {
    await etcd.stop();
  }
} finally {
  await group.stop();
  rmSync(folder, { recursive: true, force: true });
}
