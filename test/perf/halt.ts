/**
 * The leading manager is halted (SIGSTOP) for some seconds: the longest gap between two writes acknowledged through the
 * others, and what the halted one answers afterwards about the newest of them:
 * `npx tsx --conditions=source test/perf/halt.ts [--halts=5] [--seconds=5]`.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { request } from '../../deploy/lab/api.ts';
import { settledLeader, withLab } from './lab.ts';
import { option, quantile, report, round } from './measure.ts';
import { ContinuousWriter } from './writer.ts';

const halts = option('halts', 5);
const seconds = option('seconds', 5);

await withLab('perfhalt', { managers: 3, agents: 0 }, async (lab) => {
  const gaps: number[] = [];
  const answers = { newest: 0, error: 0, stale: 0 };
  for (let halt = 0; halt < halts; halt++) {
    const leader = await settledLeader(lab);
    const writer = new ContinuousWriter(
      lab.hosts.filter((host) => host !== leader),
      `halt-${halt}`,
    );
    await writer.more(10);
    const begun = performance.now();
    leader.freeze('manager', 'SIGSTOP');
    try {
      await pause(seconds * 1000);
      await writer.more(1);
    } finally {
      const newest = writer.newest;
      // Asked before it can have heard of anything.
      const asked = request(leader.socket, 'GET', `/configs/${newest}`);
      leader.freeze('manager', 'SIGCONT');
      const { status } = await asked;
      answers[status === 200 ? 'newest' : status === 404 ? 'stale' : 'error']++;
    }
    await writer.more(10);
    gaps.push(writer.gapSince(begun));
    await writer.stop();
  }
  report(`leader halted for ${seconds} s, longest gap between acknowledged writes`, 'ms', gaps, {
    p99: round(quantile(gaps, 0.99)),
    max: round(Math.max(...gaps)),
    readsOfTheHalted: JSON.stringify(answers),
  });
  if (answers.stale > 0) process.exitCode = 1;
});
