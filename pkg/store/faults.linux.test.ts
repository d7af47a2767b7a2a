import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import { createObject } from '../model/index.ts';
import { config, names, TestCluster, until, write } from './testing/cluster.ts';

const ROUNDS = 6;
const ids = [1, 2, 3] as const;

function pick<T>(from: readonly T[]): T {
  return from[Math.floor(Math.random() * from.length)] as T;
}

/** One fault, and its end. */
async function fault(cluster: TestCluster, pause: () => Promise<void>): Promise<void> {
  const victim = pick(ids);
  switch (pick(['kill', 'isolate', 'lose', 'transfer', 'kill all'])) {
    case 'kill':
      await cluster.kill(victim);
      await pause();
      await cluster.restart(victim);
      break;
    case 'kill all':
      for (const id of ids) await cluster.kill(id);
      for (const id of ids) await cluster.restart(id);
      break;
    case 'isolate':
      cluster.network.isolate(victim);
      await pause();
      cluster.network.heal(victim);
      break;
    case 'lose':
      cluster.network.filter = (): boolean => Math.random() > 0.3;
      await pause();
      cluster.network.filter = (): boolean => true;
      break;
    default:
      await cluster
        .get(victim)
        .store.transferLeadership(undefined, { timeoutMs: 500 })
        .catch(() => undefined);
  }
}

test('under kills, partitions and losses nothing acknowledged is lost, doubled or read stale', async () => {
  await using cluster = await TestCluster.of(3, { snapshotEntries: 50, trailingEntries: 10 });
  const acknowledged: string[] = [];
  const maybe = new Set<string>();
  let stop = false;
  let sequence = 0;
  let reads = 0;

  const writer = async (): Promise<void> => {
    while (!stop) {
      const name = `c${sequence++}`;
      maybe.add(name);
      const { store } = cluster.managers.get(pick(ids)) ?? (await cluster.leader());
      await write(store, name).then(
        () => acknowledged.push(name),
        // A manager that was killed cannot answer; a conflict would be a doubled write.
        (error: unknown) => expect(error).not.toMatchObject({ kind: 'conflict' }),
      );
    }
  };
  const reader = async (): Promise<void> => {
    while (!stop) {
      const { store } = cluster.managers.get(pick(ids)) ?? (await cluster.leader());
      const before = [...acknowledged];
      const view = await store.barrier({ timeoutMs: 1000 }).catch(() => undefined);
      if (!view) continue;
      for (const name of before) expect(view.byName('config', name), name).toBeDefined();
      reads++;
    }
  };

  // Calls on killed managers never end: the work goes on without waiting for them.
  const failures: unknown[] = [];
  const run = (work: () => Promise<void>): void => {
    void work().catch((error: unknown) => failures.push(error));
  };
  const more = async (): Promise<void> => {
    for (const work of [writer, writer, reader]) run(work);
    const before = acknowledged.length;
    await until(() => acknowledged.length >= before + 15 || failures.length > 0);
  };
  await more();
  for (let round = 0; round < ROUNDS; round++) {
    const before = acknowledged.length;
    const pause = async (): Promise<void> =>
      until(() => acknowledged.length >= before + 15, 400).catch(() => undefined);
    await fault(cluster, pause);
    await more();
  }
  stop = true;
  await (await cluster.leader()).store.propose([createObject('config', config('last'))]);
  const copies = (): readonly (readonly string[])[] =>
    [...cluster.managers.values()].map(({ store }) => names(store));
  // Writes that were under way may still be on their way to all of them.
  await until(() => {
    const [first, ...others] = copies();
    return others.every((other) => isDeepStrictEqual(other, first)) && !!first?.includes('last');
  }).catch(() => {
    const [first, ...others] = copies();
    for (const other of others) expect(other).toEqual(first);
  });
  expect(failures).toEqual([]);
  const [first] = copies();
  expect(first).toEqual(expect.arrayContaining(acknowledged));
  expect([...maybe, 'last']).toEqual(expect.arrayContaining([...(first ?? [])]));
  expect(reads).toBeGreaterThan(0);
});
