/**
 * `service rm` of 20 tasks of one host, which are killed at once, until their containers are gone; and how long that
 * host's agent makes others wait meanwhile: `npx tsx --conditions=source test/perf/removal.ts [--runs=10]`. Needs a build.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { eventually, type TaskJson, TestCluster } from '../cluster/cluster.ts';
import { ApiClient } from './lab.ts';
import { median, option, quantile, report, round } from './measure.ts';

const TASKS = 20;
const WORKER = 'h2';
/** After the start, for what the agent does then. */
const REST_MS = 1000;
const PING_EVERY_MS = 5;
const runs = option('runs', 10);

const cluster = await TestCluster.start('perfremoval', { managers: 1, agents: 1 });
const leader = new ApiClient(cluster.host('h1').socket);
const worker = new ApiClient(cluster.host(WORKER).socket);
const listing = new ApiClient(cluster.host(WORKER).socket);
try {
  const network = (await leader.call('POST', '/networks/create', {
    Name: 'app',
    Driver: 'overlay',
  })) as { readonly Id: string };
  const found: { readonly took: number; readonly waits: readonly number[] }[] = [];
  for (let run = 0; run <= runs; run++) {
    const one = await remove(`s${run}`, network.Id);
    if (run > 0) found.push(one);
  }
  report(
    `${TASKS} containers of one host removed`,
    'ms',
    found.map(({ took }) => took),
  );
  const waits = found.map((one) => one.waits);
  report('its agent answers meanwhile, mean', 'ms', waits.map(mean), {
    p99: round(median(waits.map((each) => quantile(each, 0.99)))),
    max: round(Math.max(...waits.flat())),
  });
} finally {
  for (const client of [leader, worker, listing]) client.close();
  await cluster.stop();
}

async function remove(
  Name: string,
  networkId: string,
): Promise<{ readonly took: number; readonly waits: readonly number[] }> {
  const { ID } = (await leader.call('POST', '/services/create', {
    Name,
    Mode: { Replicated: { Replicas: TASKS } },
    TaskTemplate: {
      ContainerSpec: { Image: 'muster/web:1', StopSignal: 'SIGKILL' },
      Networks: [{ Target: networkId }],
      Placement: { Constraints: [`node.hostname == ${WORKER}`] },
    },
  })) as { readonly ID: string };
  const filters = encodeURIComponent(JSON.stringify({ service: [Name] }));
  await eventually('all tasks to run', async () => {
    const tasks = (await leader.call('GET', `/tasks?filters=${filters}`)) as readonly TaskJson[];
    return tasks.filter(({ Status }) => Status.State === 'running').length === TASKS;
  });
  await pause(REST_MS);
  const removed = new AbortController();
  const waits = pings(removed.signal);
  const begun = performance.now();
  await leader.call('DELETE', `/services/${ID}`);
  await eventually('the containers to be gone', async () => {
    const left = (await listing.call('GET', '/containers/json?all=1')) as readonly unknown[];
    return left.length === 0;
  });
  const took = performance.now() - begun;
  removed.abort();
  return { took, waits: await waits };
}

/** What the agent takes to answer the simplest question, again and again. */
async function pings(signal: AbortSignal): Promise<readonly number[]> {
  const waits: number[] = [];
  while (!signal.aborted) {
    const asked = performance.now();
    await worker.text('GET', '/_ping');
    waits.push(performance.now() - asked);
    await pause(PING_EVERY_MS);
  }
  return waits;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
