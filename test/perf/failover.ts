/**
 * From `kill -9` of the leading manager to the next acknowledged write at a survivor:
 * `npx tsx --conditions=source test/perf/failover.ts [--kills=10]`.
 */
import { ApiClient, settledLeader, withLab } from './lab.ts';
import { option, quantile, report, round } from './measure.ts';

const ATTEMPT_MS = 20_000;
const kills = option('kills', 10);

await withLab('perffail', { managers: 3, agents: 0 }, async (lab) => {
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
