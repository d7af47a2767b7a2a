/**
 * How long a member that was away needs for a state it knows nothing of, and what that costs the writes of the others meanwhile:
 * `npx tsx --conditions=source test/perf/raft-catch-up.ts [--mb=100] [--in-flight=16]`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { option, quantile, report, round } from './measure.ts';
import { startGroup } from './raft-group.ts';

const AWAY = 3;
const BEFORE_MS = 5000;
const STEP_MS = 250;
const MB = 1e6;
const mb = option('mb', 100);
const inFlight = option('in-flight', 16);
const folder = mkdtempSync(join(tmpdir(), 'muster-perf-'));
const group = await startGroup(folder);
try {
  await group.write(inFlight, 1000);
  await group.kill(AWAY);
  await group.fill(mb * MB);
  const before = await group.write(inFlight, BEFORE_MS);
  const leaderBefore = (await group.state(1)).rssBytes;
  const { index: goal } = await group.state(1);

  const begun = performance.now();
  await group.restart(AWAY);
  const meanwhile: number[] = [];
  while ((await group.state(AWAY)).index < goal) {
    meanwhile.push(...(await group.write(inFlight, STEP_MS)).latenciesMs);
  }
  const tookMs = performance.now() - begun;
  const [p99Before, p99] = [quantile(before.latenciesMs, 0.99), quantile(meanwhile, 0.99)];
  await pause(STEP_MS);
  const [leader, follower] = [await group.state(1), await group.state(AWAY)];
  report(`catch-up of ${mb} MB by a restarted member`, 's', [tookMs / 1000], {
    leaderGrewMb: round((leader.rssBytes - leaderBefore) / MB),
    followerMaxMb: round(follower.rssBytes / MB),
  });
  report('write p99 during a catch-up to before', 'ratio', [p99 / p99Before], {
    beforeMs: round(p99Before),
    meanwhileMs: round(p99),
    inFlight,
  });
} finally {
  await group.stop();
  rmSync(folder, { recursive: true, force: true });
}
