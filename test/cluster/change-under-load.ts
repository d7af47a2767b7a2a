/** Everything that an operator does to a service on an ordinary day, while clients ask it without pause. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { eventually, type TestCluster } from './cluster.ts';
import { insideContainer } from './container.ts';

const LOAD = resolve(import.meta.dirname, 'load.mjs');
const SERVICE = 'shop';
const NETWORK = 'street';
const PORT = 8090;
const IMAGE = 'muster/web:1';
/** One for each host, so that a host which was empty gets one when tasks are placed anew. */
const MANY = 6;

/** Where the clients are and what they ask; every kind half over kept and half over new connections or ports. */
const CLIENTS = ['mesh tcp', 'mesh udp', 'vip tcp', 'vip udp'] as const;

/** In the order in which they are made; each is over when the service is as it was asked to be. */
const CHANGES = [
  'scale up',
  'update to 2',
  'drain',
  'activate',
  'rebalance by force',
  'scale down',
  'pause',
  'update to 1',
  'unpause',
] as const;
export type Change = (typeof CHANGES)[number];

interface LoadResult {
  readonly requests: number;
  readonly failed: number;
  readonly errors: readonly string[];
  readonly versions: Readonly<Record<string, number>>;
  readonly slowestMs: number;
}

export interface UnderLoad {
  /** How often each change was made. */
  readonly changes: Readonly<Partial<Record<Change, number>>>;
  readonly clients: Readonly<Record<(typeof CLIENTS)[number], LoadResult>>;
}

export interface UnderLoadOptions {
  readonly forMs: number;
  /** Of each client, between a worker's requests. */
  readonly pauseMs: number;
  readonly workers: number;
  /** The host that is drained and paused; it runs neither a client nor an entry of the mesh. */
  readonly drained: string;
  readonly onChange?: ((what: Change) => void) | undefined;
}

/**
 * Makes a service with both virtual address and published port, loads it, and goes round the changes until the time is
 * over, at least once. Clients of the mesh are on h1 and enter by h2; clients of the virtual address are in a container
 * on h3. Removes what it made.
 */
export async function changeUnderLoad(
  cluster: TestCluster,
  options: UnderLoadOptions,
): Promise<UnderLoad> {
  await cluster.ctl('h1', 'network', 'create', '--attachable', NETWORK);
  try {
    await create(cluster);
    const loads = await startLoads(cluster, options);
    const made: Partial<Record<Change, number>> = {};
    const changes = changesOf(cluster, options.drained);
    const until = performance.now() + options.forMs;
    try {
      do {
        for (const what of CHANGES) {
          options.onChange?.(what);
          await changes[what]();
          made[what] = (made[what] ?? 0) + 1;
          if (performance.now() > until && made['update to 1'] !== undefined) break;
        }
      } while (performance.now() < until);
    } finally {
      for (const { stop } of Object.values(loads)) stop();
    }
    const clients = await Promise.all(
      CLIENTS.map(async (name) => [name, await resultOf(loads[name])] as const),
    );
    return { changes: made, clients: Object.fromEntries(clients) as UnderLoad['clients'] };
  } finally {
    await remove(cluster, options.drained);
  }
}

/** When a leader has given up a node so far: nobody waits for what such a node does. */
export function lostNodes({ lab }: TestCluster): readonly Date[] {
  const managers = lab.hosts.filter(({ role }) => role === 'manager');
  const logs = managers.map(({ dataDir }) => readFileSync(join(dataDir, 'manager.log'), 'utf8'));
  return logs
    .flatMap((log) => log.split('\n'))
    .filter((line) => line.includes('"node is down"'))
    .map((line) => new Date((JSON.parse(line) as { readonly time: string }).time));
}

async function create(cluster: TestCluster): Promise<void> {
  const words = ['--name', SERVICE, '--replicas', '4', '--network', NETWORK];
  const ports = ['--publish', `${PORT}:80`, '--publish', `${PORT}:80/udp`];
  const update = ['--update-parallelism', '2', '--update-monitor', '500ms'];
  // Without one a task is in service before its sockets are open.
  const health = ['--health-cmd', 'wget -q -O /dev/null http://127.0.0.1/health'];
  const often = ['--health-start-period', '30s', '--health-start-interval', '100ms'];
  const later = ['--health-interval', '5s'];
  const flags = [...words, ...ports, ...update, ...health, ...often, ...later];
  await cluster.ctl('h1', 'service', 'create', ...flags, IMAGE);
  await cluster.docker('h3', 'run', '-d', '--name', 'customer', '--network', NETWORK, IMAGE);
}

function changesOf(
  cluster: TestCluster,
  drained: string,
): Readonly<Record<Change, () => Promise<void>>> {
  const service = async (...words: string[]): Promise<void> => {
    await cluster.ctl('h1', 'service', ...words);
  };
  const scale = async (count: number): Promise<void> => {
    await service('scale', `${SERVICE}=${count}`);
    await cluster.waitRunning(SERVICE, count);
  };
  const available = async (state: string): Promise<void> => {
    await cluster.ctl('h1', 'node', 'update', '--availability', state, drained);
  };
  const hostsOfTasks = async (): Promise<readonly string[]> => {
    const tasks = await cluster.running(SERVICE);
    return await Promise.all(tasks.map((task) => cluster.hostOf(task)));
  };
  return {
    'scale up': () => scale(MANY),
    'update to 2': () => service('update', '--image', 'muster/web:2', SERVICE),
    drain: async (): Promise<void> => {
      await available('drain');
      await eventually(`${drained} to be empty`, async () => {
        const hosts = await hostsOfTasks();
        return hosts.length === MANY && !hosts.includes(drained);
      });
    },
    activate: () => available('active'),
    // As after a node joined: nothing moves by itself.
    'rebalance by force': async (): Promise<void> => {
      await service('update', '--force', SERVICE);
      await eventually(`a task to be on ${drained} again`, async () => {
        return (await hostsOfTasks()).includes(drained);
      });
    },
    'scale down': () => scale(3),
    pause: () => available('pause'),
    'update to 1': () =>
      service('update', '--update-order', 'start-first', '--image', IMAGE, SERVICE),
    unpause: async (): Promise<void> => {
      await available('active');
      await service('update', '--update-order', 'stop-first', SERVICE);
    },
  };
}

type Load = ReturnType<TestCluster['background']>;

async function startLoads(
  cluster: TestCluster,
  { workers, pauseMs }: UnderLoadOptions,
): Promise<Readonly<Record<(typeof CLIENTS)[number], Load>>> {
  const { State } = await cluster.api<{ State: { Pid: number } }>(
    'h3',
    'GET',
    '/containers/customer/json',
  );
  const { Endpoint, ID } = await cluster.api<{
    ID: string;
    Endpoint: { VirtualIPs: readonly { NetworkID: string; Addr: string }[] };
  }>('h1', 'GET', `/services/${SERVICE}`);
  const { Id } = await cluster.api<{ Id: string }>('h1', 'GET', `/networks/${NETWORK}`);
  const vip = Endpoint.VirtualIPs.find(({ NetworkID }) => NetworkID === Id)?.Addr.split('/')[0];
  if (vip === undefined) throw new Error(`service ${ID} has no virtual address on ${NETWORK}`);
  const words = (url: string): string[] => [LOAD, url, String(workers), String(pauseMs)];
  const outside = (url: string): Load => cluster.background('h1', process.execPath, ...words(url));
  const inside = (url: string): Load =>
    cluster.background('h3', ...insideContainer(State.Pid, process.execPath, ...words(url)));
  const entry = `${cluster.host('h2').address}:${PORT}`;
  await eventually('the mesh to answer', async () => {
    return (
      (await cluster.inside('h1', 'busybox', 'wget', '-q', '-O-', `http://${entry}/`)).code === 0
    );
  });
  return {
    'mesh tcp': outside(`http://${entry}/`),
    'mesh udp': outside(`udp://${entry}`),
    'vip tcp': inside(`http://${vip}:80/`),
    'vip udp': inside(`udp://${vip}:80`),
  };
}

async function resultOf(load: Load): Promise<LoadResult> {
  const { out, err } = await load.done;
  if (out === '') throw new Error(`a client ended without a result: ${err}`);
  return JSON.parse(out) as LoadResult;
}

async function remove(cluster: TestCluster, drained: string): Promise<void> {
  await cluster.tryCtl('h1', 'node', 'update', '--availability', 'active', drained);
  await cluster.tryCtl('h1', 'service', 'rm', SERVICE);
  await cluster.tryDocker('h3', 'rm', '-f', 'customer');
  await eventually('the network to be free', async () => {
    return (await cluster.tryCtl('h1', 'network', 'rm', NETWORK)).code === 0;
  });
}
