/**
 * How long writes stand still when the leader goes as planned, seen by a client that writes through another manager:
 * `npx tsx --conditions=source test/perf/handover.ts [--rounds=10]`. `stop`: SIGTERM to the leading manager, which its
 * agent starts again. `demote`: `node demote` of the leader, which is promoted again.
 */
import type { Host } from '../../deploy/lab/host.ts';
import type { Lab } from '../../deploy/lab/lab.ts';
import { setRole } from '../cluster/role.ts';
import { settledLeader, withLab } from './lab.ts';
import { option, quantile, report, round } from './measure.ts';
import { ContinuousWriter } from './writer.ts';

const rounds = option('rounds', 10);
const WRITES_AROUND = 30;

await withLab('perfhand', { managers: 3, agents: 0 }, async (lab) => {
  await measure(lab, 'stop', async (leader) => {
    process.kill(leader.managerPid ?? 0, 'SIGTERM');
  });
  await measure(lab, 'demote', async (leader, other) => {
    await setRole(other, leader, 'worker');
    await setRole(other, leader, 'manager');
  });
});

async function measure(
  lab: Lab,
  name: string,
  act: (leader: Host, other: Host) => Promise<void>,
): Promise<void> {
  const gaps: number[] = [];
  const failures: string[] = [];
  for (let at = 0; at < rounds; at++) {
    const leader = await settledLeader(lab);
    const other = lab.hosts.find((host) => host.name !== leader.name);
    if (other === undefined) throw new Error('there is no other manager');
    const writer = new ContinuousWriter([other], `${name}-${at}`);
    await writer.more(WRITES_AROUND);
    const begun = performance.now();
    await act(leader, other);
    await settledLeader(lab);
    await writer.more(WRITES_AROUND);
    gaps.push(writer.gapSince(begun));
    await writer.stop();
    failures.push(...writer.failures);
  }
  report(`leader: ${name}, longest gap between two acknowledged writes`, 'ms', gaps, {
    p99: round(quantile(gaps, 0.99)),
    max: round(Math.max(...gaps)),
    failedWrites: failures.length,
    failure: failures.at(-1) ?? '',
  });
}
