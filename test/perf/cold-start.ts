/**
 * From the start of all hosts after a power cut to the first read and the first write that one of them acknowledges:
 * `npx tsx --conditions=source test/perf/cold-start.ts [--cuts=10]`.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { request } from '../../deploy/lab/api.ts';
import type { Host } from '../../deploy/lab/host.ts';
import { settledLeader, withLab } from './lab.ts';
import { option, quantile, report, round } from './measure.ts';

const cuts = option('cuts', 10);

await withLab('perfcold', { managers: 3, agents: 0 }, async (lab) => {
  const reads: number[] = [];
  const writes: number[] = [];
  for (let cut = 0; cut < cuts; cut++) {
    await settledLeader(lab);
    await Promise.all(lab.hosts.map((host) => host.kill('all')));
    const begun = performance.now();
    const since = (): number => (performance.now() - begun) / 1000;
    const started = lab.hosts.map((host) => host.start());
    const body = { Name: `cold-${cut}`, Data: 'eA==' };
    await Promise.all([
      first(lab.hosts, 'GET', '/services').then(() => reads.push(since())),
      first(lab.hosts, 'POST', '/configs/create', body).then(() => writes.push(since())),
    ]);
    await Promise.all(started);
  }
  const more = (values: readonly number[]): Record<string, number> => ({
    p99: round(quantile(values, 0.99)),
    max: round(Math.max(...values)),
  });
  report('all hosts lose their power: start to the first read', 's', reads, more(reads));
  report('all hosts lose their power: start to the first write', 's', writes, more(writes));
});

/** Resolves when one of them does what it is asked. A name that exists was written by an earlier attempt. */
async function first(
  hosts: readonly Host[],
  method: string,
  path: string,
  body?: unknown,
): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const host = hosts[attempt % hosts.length];
    const answer = await request(host?.socket ?? '', method, path, body).catch(() => undefined);
    if (answer !== undefined && (answer.status < 300 || answer.status === 409)) return;
    await pause(10);
  }
}
