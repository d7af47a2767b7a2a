/** Random schedules of partitions, agent kills and churn, and how long until every host says the same again. */
import type { Host } from '../../deploy/lab/host.ts';
import type { NetworkCheck } from '../../pkg/model/index.ts';
import { Random } from '../sim/raft/random.ts';
import { eventually, type TestCluster } from './cluster.ts';

const IMAGE = 'muster/web:1';
/** Longer than the promise: what takes longer is reported as it is. */
const PATIENCE_MS = 60_000;
/** Of what still differs when patience ends. */
const TROUBLES_SAID = 10;

export interface World {
  readonly networks: number;
  readonly services: number;
}

/** Services of two tasks each, spread over the networks. */
export async function populate(cluster: TestCluster, { networks, services }: World): Promise<void> {
  for (let number = 0; number < networks; number++) {
    const body = { Name: `net${number}`, Driver: 'overlay', Attachable: true };
    await cluster.api('h1', 'POST', '/networks/create', body);
  }
  for (let number = 0; number < services; number++) {
    await cluster.api('h1', 'POST', '/services/create', spec(number, number % networks, 2));
  }
  for (let number = 0; number < services; number++) {
    await cluster.waitRunning(`svc${number}`, 2);
  }
}

export async function depopulate(
  cluster: TestCluster,
  { networks, services }: World,
): Promise<void> {
  for (let number = 0; number < services; number++) {
    await cluster.api('h1', 'DELETE', `/services/svc${number}`);
  }
  for (let number = 0; number < networks; number++) {
    await cluster.api('h1', 'DELETE', `/networks/net${number}`);
  }
}

function spec(number: number, network: number, Replicas: number): object {
  return {
    Name: `svc${number}`,
    Mode: { Replicated: { Replicas } },
    TaskTemplate: {
      ContainerSpec: { Image: IMAGE, StopGracePeriod: 1_000_000_000 },
      RestartPolicy: { Condition: 'any', Delay: 0 },
      Networks: [{ Target: `net${network}` }],
    },
  };
}

export interface Schedule {
  readonly seed: number;
  readonly acts: readonly string[];
  /** From the moment when every link is up and every agent started. */
  readonly convergedMs: number;
}

/**
 * Cuts off up to a fifth of the hosts, kills agents, scales and updates services meanwhile; heals everything after
 * `cutMs` and waits until every host holds the manager's tables in its kernel and reaches every address.
 */
export async function runSchedule(
  cluster: TestCluster,
  world: World,
  options: { readonly seed: number; readonly cutMs: number },
): Promise<Schedule> {
  const random = new Random(options.seed);
  const acts: string[] = [];
  const workers = shuffled(
    cluster.lab.hosts.filter(({ role }) => role === 'worker'),
    random,
  );
  const cut = workers.slice(0, 1 + random.below(Math.max(1, Math.floor(workers.length / 5))));
  const killed = workers.slice(cut.length, cut.length + 1 + random.below(2));
  const heals = performance.now() + options.cutMs;
  for (const host of cut) host.setLink('down');
  acts.push(`cut ${namesOf(cut)}`);
  try {
    for (const host of killed) await host.kill('agent');
    acts.push(`kill agents of ${namesOf(killed)}`);
    while (performance.now() < heals) {
      acts.push(await churn(cluster, world, random));
      await new Promise((settle) => setTimeout(settle, random.between(0, options.cutMs / 5)));
    }
  } finally {
    for (const host of cut) host.setLink('up');
    await Promise.all(killed.map((host) => host.start()));
  }
  const healed = performance.now();
  await eventually('every host to hold the same', () => isConverged(cluster), PATIENCE_MS);
  return { seed: options.seed, acts, convergedMs: Math.round(performance.now() - healed) };
}

async function churn(cluster: TestCluster, world: World, random: Random): Promise<string> {
  const number = random.below(world.services);
  const replicas = 1 + random.below(4);
  const name = `svc${number}`;
  const { Version } = await cluster.api<{ Version: { Index: number } }>(
    'h1',
    'GET',
    `/services/${name}`,
  );
  const body = spec(number, number % world.networks, replicas);
  await cluster.api('h1', 'POST', `/services/${name}/update?version=${Version.Index}`, body);
  return `scale ${name} to ${replicas}`;
}

/** Throws with what is still different, for whoever gave up waiting. */
async function isConverged(cluster: TestCluster): Promise<boolean> {
  const nodes = await cluster.nodes('h1');
  const absent = nodes.filter(({ Status }) => Status.State !== 'ready');
  if (absent.length > 0) {
    throw new Error(
      `not ready: ${absent.map(({ Description }) => Description.Hostname).join(' ')}`,
    );
  }
  const networks = await cluster.api<{ Id: string; Name: string; Scope: string }[]>(
    'h1',
    'GET',
    '/networks',
  );
  const troubles: string[] = [];
  for (const { Id, Name, Scope } of networks) {
    if (Scope !== 'swarm') continue;
    const check = await cluster.api<NetworkCheck>('h1', 'GET', `/networks/${Id}/check`);
    troubles.push(...troublesOf(check).map((trouble) => `${Name}: ${trouble}`));
  }
  if (troubles.length > 0) throw new Error(troubles.slice(0, TROUBLES_SAID).join('; '));
  return true;
}

/** Nothing when every host was told what the manager says now, its kernel is so, and everybody reaches everybody. */
function troublesOf({ digest, nodes }: NetworkCheck): readonly string[] {
  return nodes.flatMap(({ hostname, acknowledged, check, problem }) => {
    if (!acknowledged) return [`${hostname} did not acknowledge the table`];
    if (check === undefined) return [`${hostname} says nothing: ${problem}`];
    const lost = check.probes.filter(({ reached }) => !reached);
    return [
      ...(check.digest === digest ? [] : [`${hostname} holds another table`]),
      ...check.differences.map((difference) => `${hostname}: ${difference}`),
      ...lost.map((probe) => `${hostname} does not reach ${JSON.stringify(probe)}`),
    ];
  });
}

function shuffled(hosts: readonly Host[], random: Random): readonly Host[] {
  return hosts
    .map((host) => ({ host, at: random.next() }))
    .toSorted((left, right) => left.at - right.at)
    .map(({ host }) => host);
}

function namesOf(hosts: readonly Host[]): string {
  return hosts.map(({ name }) => name).join(' ');
}
