/** Networks that come and go, and a network that is cut: nothing is left behind, nobody stays behind. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Host } from '../../deploy/lab/host.ts';
import { eventually, TestCluster } from './cluster.ts';

/** `N=10000` for the long run. */
const CYCLES = Number(process.env['N'] ?? 30);
const HOSTS = ['h1', 'h2', 'h3'];
const WEB = 'muster/web:1';
/** After that many, agents have made everything that they keep for good. */
const WARM_UP = 3;
let cluster: TestCluster;

interface NetworkJson {
  readonly Id: string;
  readonly IPAM: { readonly Config: readonly { readonly Subnet: string }[] };
  readonly Options: Readonly<Record<string, string>>;
}

beforeAll(async () => {
  cluster = await TestCluster.start('churn', { managers: 1, agents: 2 });
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

function serviceOn(network: string, name: string): object {
  return {
    Name: name,
    Mode: { Global: {} },
    TaskTemplate: {
      ContainerSpec: { Image: WEB, StopGracePeriod: 1_000_000_000 },
      Networks: [{ Target: network }],
    },
  };
}

async function cycle(number: number): Promise<NetworkJson> {
  const body = { Name: `net${number}`, Driver: 'overlay', Attachable: true };
  const { Id } = await cluster.api<{ Id: string }>('h1', 'POST', '/networks/create', body);
  const name = `churn${number}`;
  await cluster.api('h1', 'POST', '/services/create', serviceOn(Id, name));
  await cluster.waitRunning(name, HOSTS.length);
  const made = await cluster.api<NetworkJson>('h1', 'GET', `/networks/${Id}`);
  await cluster.api('h1', 'DELETE', `/services/${name}`);
  await cluster.api('h1', 'DELETE', `/networks/${Id}`);
  return made;
}

/** Everything is gone on all hosts, as far as their own words go. */
async function quiet(): Promise<void> {
  await eventually('every container and network to go', async () => {
    for (const host of HOSTS) {
      const all = await cluster.api<unknown[]>(host, 'GET', '/containers/json?all=1');
      if (all.length > 0 || pins(cluster.host(host)).length > 1) return false;
    }
    return (await cluster.api<unknown[]>('h1', 'GET', '/tasks')).length === 0;
  });
}

/** Namespaces of overlays; the mesh's stays. */
function pins({ runDir }: Host): readonly string[] {
  const folder = join(runDir, 'network', 'netns');
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** What one host holds in its kernel and its processes, counted. */
function held(host: Host): Readonly<Record<string, number>> {
  const inside = (...args: readonly string[]): string =>
    execFileSync('ip', ['netns', 'exec', host.netns, ...args], { encoding: 'utf8' });
  const count = (text: string): number => text.split('\n').filter((line) => line !== '').length;
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  const below = (folder: string): number =>
    existsSync(folder) ? readdirSync(folder, { recursive: true }).length : 0;
  return {
    links: count(inside('ip', '-o', 'link')),
    addresses: count(inside('ip', '-o', 'addr')),
    rules: count(inside('ip', 'rule')),
    nft: count(inside('nft', 'list', 'ruleset')),
    mounts: mounts.filter((line) => line.includes(`${host.runDir}/`)).length,
    overlays: pins(host).length,
    sandboxes: below(join(host.runDir, 'network', 'sandboxes')),
    containers: below(join(host.runDir, 'containers')),
    agentFds: descriptors(host.agentPid),
    managerFds: descriptors(host.managerPid),
  };
}

function descriptors(pid: number | undefined): number {
  if (pid === undefined) return 0;
  return readdirSync(`/proc/${pid}/fd`).length;
}

type Counts = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** Less is no leak: kept connections of this test's questions end by themselves. */
function moreThan(before: Counts, after: Counts): readonly string[] {
  return Object.entries(after).flatMap(([host, counts]) =>
    Object.entries(counts).flatMap(([what, count]) => {
      const was = before[host]?.[what] ?? 0;
      return count > was ? [`${host} ${what}: ${was} before, ${count} after`] : [];
    }),
  );
}

const all = (): Counts => Object.fromEntries(HOSTS.map((name) => [name, held(cluster.host(name))]));

test(
  `${CYCLES} networks with a service on every host come and go, and nothing of them stays`,
  async () => {
    const first = await cycle(0);
    for (let number = 1; number < WARM_UP; number++) await cycle(number);
    await quiet();
    const before = all();
    for (let number = WARM_UP; number < WARM_UP + CYCLES; number++) await cycle(number);
    await quiet();
    await expect.poll(() => moreThan(before, all()), { timeout: 30_000 }).toEqual([]);
    // Blocks and identifiers are given back: the next network gets what the first one had.
    const last = await cycle(WARM_UP + CYCLES);
    await quiet();
    expect(last.IPAM.Config).toEqual(first.IPAM.Config);
    expect(last.Options).toEqual(first.Options);
  },
  60_000 + CYCLES * 10_000,
);

test('after a partition every host answers and is answered through the virtual address', async () => {
  const body = { Name: 'cut', Driver: 'overlay', Attachable: true };
  const { Id } = await cluster.api<{ Id: string }>('h1', 'POST', '/networks/create', body);
  await cluster.api('h1', 'POST', '/services/create', serviceOn(Id, 'web'));
  await cluster.waitRunning('web', HOSTS.length);
  for (const host of HOSTS)
    await cluster.docker(host, 'run', '-d', '--name', `ask-${host}`, '--network', 'cut', WEB);

  const h3 = cluster.host('h3');
  h3.setLink('down');
  await eventually('h3 to be down', async () =>
    (await cluster.nodes()).some(
      ({ Description, Status }) => Description.Hostname === 'h3' && Status.State === 'down',
    ),
  );
  // The rest goes on without it: none of these may wait for a backend that nobody reaches.
  await eventually('h1 to be answered by the two that are left', async () => {
    return (await backendsSeenBy('h1')).size === 2;
  });
  h3.setLink('up');
  const healed = performance.now();
  await eventually('every host to see every backend', async () => {
    const seen = await Promise.all(HOSTS.map(backendsSeenBy));
    return seen.every((backends) => backends.size === HOSTS.length);
  });
  const seconds = (performance.now() - healed) / 1000;
  expect(seconds).toBeLessThan(10);
  for (const host of HOSTS) await cluster.docker(host, 'rm', '-f', `ask-${host}`);
});

/** Who answers 12 requests from a container on `host`; the virtual address takes turns. */
async function backendsSeenBy(host: string): Promise<ReadonlySet<string>> {
  const loop = 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do wget -q -O - http://web/ || exit 1; done';
  const answers = await cluster.docker(host, 'exec', `ask-${host}`, 'sh', '-c', loop);
  return new Set([...answers.matchAll(/hello from (\S+),/g)].map(([, name = '']) => name));
}
