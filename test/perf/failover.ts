/**
 * From `kill -9` of the leading manager to the next acknowledged write at a survivor:
 * `npx tsx --conditions=source test/perf/failover.ts [--kills=10]`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Host } from '../../deploy/lab/host.ts';
import { ApiClient, settledLeader, withLab } from './lab.ts';
import { option, quantile, report, round } from './measure.ts';

const ATTEMPT_MS = 20_000;
const kills = option('kills', 10);

/** Until then two managers are all voters, and the loss of one stops both: not what is measured here. */
async function allVoters(hosts: readonly Host[]): Promise<void> {
  const made = (): number =>
    hosts
      .map(({ dataDir }) => readFileSync(join(dataDir, 'manager.log'), 'utf8'))
      .reduce((sum, log) => sum + log.split('becomes a voter').length - 1, 0);
  while (made() < hosts.length - 1) await pause(50);
}

await withLab('perffail', { managers: 3, agents: 0 }, async (lab) => {
  await allVoters(lab.hosts);
  const gaps: number[] = [];
  for (let kill = 0; kill < kills; kill++) {
    const leader = await settledLeader(lab);
    const survivor = lab.hosts.find((host) => host.name !== leader.name);
    const client = new ApiClient(survivor?.socket ?? '');
    await client.call('POST', '/configs/create', { Name: `before-${kill}`, Data: 'eA==' });
    const begun = performance.now();
    process.kill(leader.managerPid ?? 0, 'SIGKILL');
    for (let attempt = 0; ; attempt++) {
      const body = { Name: `after-${kill}-${attempt}`, Data: 'eA==' };
      const done = await client.call('POST', '/configs/create', body, ATTEMPT_MS).then(
        () => true,
        () => false,
      );
      if (done) break;
    }
    gaps.push((performance.now() - begun) / 1000);
    client.close();
  }
  report('leader kill -9 to the next acknowledged write', 's', gaps, {
    p99: round(quantile(gaps, 0.99)),
    max: round(Math.max(...gaps)),
  });
});
