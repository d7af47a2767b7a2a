/**
 * `service create` of one replica on three managers with real agents, until the API of a manager shows the task running,
 * less the start of that very container, as its host's engine says it: what deciding, writing and telling cost.
 * `npx tsx --conditions=source test/perf/create-latency.ts [--runs=100]`. Beside it, create and start of the same container through the API of
 * the host it runs on; they alternate.
 */
import { request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually, type TaskJson, TestCluster } from '../cluster/cluster.ts';
import { ApiClient, settledLeader } from './lab.ts';
import { median, option, quantile, report, round } from './measure.ts';

const IMAGE = 'muster/web:1';
const WORKER = 'h4';
const WARM_UP = 10;
/** Before the container has started: what is asked then cannot be answered, and takes the processors from who works. */
const PATIENCE_MS = 1000;
const runs = option('runs', 100);

/** Milliseconds: the whole, and the part of it in which the container was made and started. */
interface Created {
  readonly whole: number;
  readonly container: number;
}

const cluster = await TestCluster.start('perfcreate', { managers: 3, agents: 1 });
const leader = await settledLeader(cluster.lab);
const follower = cluster.lab.hosts.find(({ name }) => name !== leader.name && name !== WORKER);
const clients = {
  leader: new ApiClient(leader.socket),
  follower: new ApiClient(follower?.socket ?? ''),
  worker: new ApiClient(cluster.host(WORKER).socket),
};
const starts = containerStarts(cluster.host(WORKER).socket);
try {
  const found = { leader: [] as Created[], follower: [] as Created[], beside: [] as number[] };
  for (let run = 0; run < WARM_UP + runs; run++) {
    const beside = await startContainer();
    const atLeader = await createService(clients.leader, `l${run}`);
    const atFollower = await createService(clients.follower, `f${run}`);
    if (run < WARM_UP) continue;
    found.beside.push(beside);
    found.leader.push(atLeader);
    found.follower.push(atFollower);
  }
  report('create and start of one container through the API', 'ms', [median(found.beside)], {
    n: found.beside.length,
    p99: round(quantile(found.beside, 0.99)),
  });
  for (const at of ['leader', 'follower'] as const) reportCreated(at, found[at]);
} finally {
  starts.end();
  for (const client of Object.values(clients)) client.close();
  await cluster.stop();
}

function reportCreated(at: string, found: readonly Created[]): void {
  const rest = found.map(({ whole, container }) => whole - container);
  const name = `service create at the ${at} to running as the API shows it, less the container's start`;
  report(name, 'ms', [median(rest)], {
    n: found.length,
    min: round(Math.min(...rest)),
    p90: round(quantile(rest, 0.9)),
    p99: round(quantile(rest, 0.99)),
    whole: round(median(found.map(({ whole }) => whole))),
    container: round(median(found.map(({ container }) => container))),
  });
}

async function createService(client: ApiClient, Name: string): Promise<Created> {
  const spec = {
    Name,
    Mode: { Replicated: { Replicas: 1 } },
    TaskTemplate: {
      ContainerSpec: { Image: IMAGE, StopSignal: 'SIGKILL' },
      Placement: { Constraints: [`node.hostname == ${WORKER}`] },
    },
  };
  const filters = encodeURIComponent(JSON.stringify({ service: [Name] }));
  const task = async (): Promise<TaskJson | undefined> =>
    ((await client.call('GET', `/tasks?filters=${filters}`)) as readonly TaskJson[])[0];
  const started = starts.next();
  const begun = performance.now();
  const { ID } = (await client.call('POST', '/services/create', spec)) as { readonly ID: string };
  await Promise.race([started, pause(PATIENCE_MS)]);
  let seen = await task();
  while (seen?.Status.State !== 'running') seen = await task();
  const whole = performance.now() - begun;
  const containerId = seen.Status.ContainerStatus?.ContainerID ?? '';
  const container = await startOf(containerId);
  await client.call('DELETE', `/services/${ID}`);
  await eventually('the task to be gone', async () => (await task()) === undefined);
  // What its removal takes is not part of the next create.
  await eventually('its container to be gone', async () => !(await hasContainer(containerId)));
  return { whole, container };
}

async function hasContainer(id: string): Promise<boolean> {
  const filters = encodeURIComponent(JSON.stringify({ id: [id] }));
  const found = await clients.worker.call('GET', `/containers/json?all=1&filters=${filters}`);
  return (found as readonly unknown[]).length > 0;
}

/** From when the engine began to make the container until its program ran. */
async function startOf(id: string): Promise<number> {
  const { Created: made, State } = (await clients.worker.call('GET', `/containers/${id}/json`)) as {
    readonly Created: string;
    readonly State: { readonly StartedAt: string };
  };
  return Date.parse(State.StartedAt) - Date.parse(made);
}

async function startContainer(): Promise<number> {
  const client = clients.worker;
  const begun = performance.now();
  const { Id } = (await client.call('POST', '/containers/create', { Image: IMAGE })) as {
    readonly Id: string;
  };
  await client.call('POST', `/containers/${Id}/start`);
  const took = performance.now() - begun;
  await client.call('DELETE', `/containers/${Id}?force=true`);
  return took;
}

/** The starts of containers on a host, as its event stream tells them. */
function containerStarts(socketPath: string): {
  /** Resolves at the next one. */
  next(): Promise<void>;
  end(): void;
} {
  let heard = (): void => undefined;
  const filters = encodeURIComponent(JSON.stringify({ type: ['container'], event: ['start'] }));
  const sent = request({ socketPath, path: `/events?filters=${filters}` }, (answer) => {
    answer.on('data', () => heard());
    answer.on('error', () => undefined);
  });
  sent.on('error', () => undefined);
  sent.end();
  return {
    next: () =>
      new Promise((resolve) => {
        heard = resolve;
      }),
    end: () => sent.destroy(),
  };
}
