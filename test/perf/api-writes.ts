/**
 * Configs created per second through the HTTP API of the leader's host and of a follower's, three managers, 256 B:
 * `npx tsx --conditions=source test/perf/api-writes.ts [--runs=5] [--ms=1500]`. Etcd's puts alternate with them.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEtcd } from './etcd.ts';
import { ApiClient, settledLeader, withLab } from './lab.ts';
import { alternate, measureRate, option, report, reportRates } from './measure.ts';

const IN_FLIGHT = [1, 16, 64];
const WARM_UP_MS = 1000;
const DATA = Buffer.alloc(256, 'x').toString('base64');
const runs = option('runs', 5);
const ms = option('ms', 1500);
let made = 0;

function create(client: ApiClient): Promise<unknown> {
  return client.call('POST', '/configs/create', { Name: `c${made++}`, Data: DATA });
}

await withLab('perfapi', { managers: 3, agents: 0 }, async (lab) => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-perf-'));
  const etcd = await startEtcd(folder);
  const leader = await settledLeader(lab);
  const clients = {
    leader: new ApiClient(leader.socket),
    follower: new ApiClient(lab.hosts.find((host) => host.name !== leader.name)?.socket ?? ''),
  };
  try {
    for (const client of Object.values(clients)) {
      await measureRate(16, WARM_UP_MS, () => create(client));
    }
    for (const inFlight of IN_FLIGHT) {
      const rates = await alternate(runs, {
        leader: () => measureRate(inFlight, ms, () => create(clients.leader)),
        follower: () => measureRate(inFlight, ms, () => create(clients.follower)),
        etcd: () => measureRate(inFlight, ms, () => etcd.put()),
      });
      const own = reportRates(
        `config create at the leader, ${inFlight} in flight`,
        rates.get('leader') ?? [],
      );
      reportRates(
        `config create at a follower, ${inFlight} in flight`,
        rates.get('follower') ?? [],
      );
      const others = reportRates(`etcd puts, ${inFlight} in flight`, rates.get('etcd') ?? []);
      report(`config creates to etcd puts, ${inFlight} in flight`, 'ratio', [own / others]);
    }
  } finally {
    for (const client of Object.values(clients)) client.close();
    await etcd.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
