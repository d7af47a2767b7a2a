/**
 * Proposals per second through the store's interface on the leader, three members, fsync on, against etcd's puts at its
 * leader in alternating runs: `npx tsx --conditions=source test/perf/raft-writes.ts [--runs=5] [--ms=1500] [--etcd=1]`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Etcd, startEtcd } from './etcd.ts';
import { alternate, measureRate, option, report, reportRates, withCpu } from './measure.ts';
import { startGroup } from './raft-group.ts';

const IN_FLIGHT = [1, 64, 256];
const WARM_UP_MS = 1000;
const runs = option('runs', 5);
const ms = option('ms', 1500);
const folder = mkdtempSync(join(tmpdir(), 'muster-perf-'));
const profile = option('profile', 0) === 1 ? ['--cpu-prof', `--cpu-prof-dir=${process.cwd()}`] : [];
const group = await startGroup(folder, profile);
let etcd: Etcd | undefined;
try {
  if (option('etcd', 1) === 1) etcd = await startEtcd(folder);
  const peer = etcd;
  await group.write(64, WARM_UP_MS);
  if (peer) await measureRate(64, WARM_UP_MS, () => peer.put());
  const only = option('in-flight', 0);
  for (const inFlight of only > 0 ? [only] : IN_FLIGHT) {
    const rates = await alternate(runs, {
      muster: () => withCpu(group, () => group.write(inFlight, ms)),
      ...(peer && {
        etcd: () => withCpu(peer, () => measureRate(inFlight, ms, () => peer.put())),
      }),
    });
    const own = reportRates(`store proposals, ${inFlight} in flight`, rates.get('muster') ?? []);
    if (peer === undefined) continue;
    const others = reportRates(`etcd puts, ${inFlight} in flight`, rates.get('etcd') ?? []);
    report(`store proposals to etcd puts, ${inFlight} in flight`, 'ratio', [own / others]);
  }
} finally {
  await etcd?.stop();
  await group.stop();
  rmSync(folder, { recursive: true, force: true });
}
