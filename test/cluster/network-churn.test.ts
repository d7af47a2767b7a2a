/** Networks that come and go, and a network that is cut: nothing is left behind, nobody stays behind. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, TestCluster } from './cluster.ts';
import { cycle, heldBy, moreThan, quiet, serviceOn } from './network-cycles.ts';
import { depopulate, populate, runSchedule } from './partition.ts';

/** `test/soak/network-cycles.ts` does thousands. */
const CYCLES = 30;
const HOSTS = ['h1', 'h2', 'h3'];
const WEB = 'muster/web:1';
/** After that many, agents have made everything that they keep for good. */
const WARM_UP = 3;
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start('churn', { managers: 1, agents: 2 });
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

test(
  `${CYCLES} networks with a service on every host come and go, and nothing of them stays`,
  async () => {
    const first = await cycle(cluster, 0);
    for (let number = 1; number < WARM_UP; number++) await cycle(cluster, number);
    await quiet(cluster);
    const before = heldBy(cluster);
    for (let number = WARM_UP; number < WARM_UP + CYCLES; number++) await cycle(cluster, number);
    await quiet(cluster);
    await expect.poll(() => moreThan(before, heldBy(cluster)), { timeout: 30_000 }).toEqual([]);
    // Blocks and identifiers are given back: the next network gets what the first one had.
    const last = await cycle(cluster, WARM_UP + CYCLES);
    await quiet(cluster);
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

test('after partitions, agent kills and churn every host holds the same within ten seconds', async () => {
  // `test/soak/partitions.ts` does a hundred with 25 hosts.
  const world = { networks: 2, services: 4 };
  await populate(cluster, world);
  for (const seed of [1, 2]) {
    const { convergedMs } = await runSchedule(cluster, world, { seed, cutMs: 3_500 });
    expect(convergedMs).toBeLessThan(10_000);
  }
  await depopulate(cluster, world);
});
