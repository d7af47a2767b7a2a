/**
 * Linearizable reads of one config per second through the HTTP API of the leader's host and of a follower's, three
 * managers; etcd's linearizable gets alternate with them: `npx tsx --conditions=source test/perf/api-reads.ts
 * [--runs=5] [--ms=1500] [--in-flight=64]`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEtcd } from './etcd.ts';
import { ApiClient, settledLeader, withLab } from './lab.ts';
import { alternate, measureRate, option, report, reportRates } from './measure.ts';

const WARM_UP_MS = 1000;
const SPEC = { Name: 'read', Data: Buffer.alloc(256, 'x').toString('base64') };
const runs = option('runs', 5);
const ms = option('ms', 1500);
const inFlight = option('in-flight', 64);

function read(client: ApiClient): Promise<unknown> {
  return client.call('GET', `/configs/${SPEC.Name}`);
}

await withLab('perfread', { managers: 3, agents: 0 }, async (lab) => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-perf-'));
  const etcd = await startEtcd(folder);
  const leader = await settledLeader(lab);
  const clients = {
    leader: new ApiClient(leader.socket),
    follower: new ApiClient(lab.hosts.find((host) => host.name !== leader.name)?.socket ?? ''),
  };
  try {
    await etcd.put();
    await clients.leader.call('POST', '/configs/create', SPEC);
    for (const client of Object.values(clients)) {
      await measureRate(inFlight, WARM_UP_MS, () => read(client));
    }
    const rates = await alternate(runs, {
      leader: () => measureRate(inFlight, ms, () => read(clients.leader)),
      follower: () => measureRate(inFlight, ms, () => read(clients.follower)),
      etcd: () => measureRate(inFlight, ms, () => etcd.get()),
    });
    const others = reportRates(`etcd gets, ${inFlight} in flight`, rates.get('etcd') ?? []);
    for (const where of ['leader', 'follower']) {
      const name = `config reads through the API at the ${where}`;
      const own = reportRates(`${name}, ${inFlight} in flight`, rates.get(where) ?? []);
      report(`${name} to etcd gets`, 'ratio', [own / others]);
    }
  } finally {
    for (const client of Object.values(clients)) client.close();
    await etcd.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
