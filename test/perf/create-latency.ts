/**
 * `service create` of one replica on three managers with real agents, until the API of a manager shows the task running,
 * beside create and start of the same container through the API of the host it runs on; their difference is what deciding costs:
 * `npx tsx --conditions=source test/perf/create-latency.ts [--runs=100]`. They alternate.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { eventually, type TaskJson, TestCluster } from '../cluster/cluster.ts';
import { ApiClient, settledLeader } from './lab.ts';
import { median, option, quantile, report, round } from './measure.ts';

const IMAGE = 'muster/web:1';
const WORKER = 'h4';
const WARM_UP = 10;
const POLL_MS = 5;
const runs = option('runs', 100);

const cluster = await TestCluster.start('perfcreate', { managers: 3, agents: 1 });
const leader = await settledLeader(cluster.lab);
const follower = cluster.lab.hosts.find(({ name }) => name !== leader.name && name !== WORKER);
const clients = {
  leader: new ApiClient(leader.socket),
  follower: new ApiClient(follower?.socket ?? ''),
  worker: new ApiClient(cluster.host(WORKER).socket),
};
try {
  const found = { leader: [] as number[], follower: [] as number[], start: [] as number[] };
  for (let run = 0; run < WARM_UP + runs; run++) {
    const start = await startContainer(clients.worker);
    const atLeader = await createService(clients.leader, `l${run}`);
    const atFollower = await createService(clients.follower, `f${run}`);
    if (run < WARM_UP) continue;
    found.start.push(start);
    found.leader.push(atLeader);
    found.follower.push(atFollower);
  }
  const started = median(found.start);
  report('create and start of one container', 'ms', [started], more(found.start, 0));
  for (const at of ['leader', 'follower'] as const) {
    const name = `service create at the ${at} to running as the API shows it, less the container's start`;
    report(name, 'ms', [median(found[at]) - started], more(found[at], started));
  }
} finally {
  for (const client of Object.values(clients)) client.close();
  await cluster.stop();
}

/** Of the whole values. `start` is what the row's value is less. */
function more(values: readonly number[], start: number): Record<string, number> {
  const [whole, p90] = [round(median(values)), round(quantile(values, 0.9))];
  return { n: values.length, whole, p90OfWhole: p90, start: round(start) };
}

async function createService(client: ApiClient, Name: string): Promise<number> {
  const spec = {
    Name,
    Mode: { Replicated: { Replicas: 1 } },
    TaskTemplate: {
      ContainerSpec: { Image: IMAGE, StopGracePeriod: 1_000_000_000 },
      Placement: { Constraints: [`node.hostname == ${WORKER}`] },
    },
  };
  const filters = encodeURIComponent(JSON.stringify({ service: [Name] }));
  const tasks = async (): Promise<readonly TaskJson[]> =>
    (await client.call('GET', `/tasks?filters=${filters}`)) as readonly TaskJson[];
  const begun = performance.now();
  const { ID } = (await client.call('POST', '/services/create', spec)) as { readonly ID: string };
  while ((await tasks())[0]?.Status.State !== 'running') await pause(POLL_MS);
  const took = performance.now() - begun;
  await client.call('DELETE', `/services/${ID}`);
  await eventually('the task to be gone', async () => (await tasks()).length === 0);
  return took;
}

async function startContainer(client: ApiClient): Promise<number> {
  const begun = performance.now();
  const { Id } = (await client.call('POST', '/containers/create', { Image: IMAGE })) as {
    readonly Id: string;
  };
  await client.call('POST', `/containers/${Id}/start`);
  const took = performance.now() - begun;
  await client.call('DELETE', `/containers/${Id}?force=true`);
  return took;
}
