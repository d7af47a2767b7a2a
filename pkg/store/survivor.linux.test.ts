import { existsSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { type Disk, silentLogger, systemClock, systemDisk, systemRandom } from '../io/index.ts';
import type { ClusterId, NodeId } from '../model/index.ts';
import { continueAlone, type SurvivorOptions } from './survivor.ts';
import { names, TestCluster, until, write } from './testing/cluster.ts';

const ALONE = 11;

/** A manager that is left when others are lost; the test cluster looks for member 11 in folder `11`. */
async function survivor(
  cluster: TestCluster,
  lost: readonly number[],
  former = 1,
): Promise<SurvivorOptions> {
  const { store, directory } = cluster.get(former);
  for (const raftId of lost) await cluster.kill(raftId);
  cluster.managers.delete(former);
  await store.stop();
  const raftId = ALONE - 1 + former;
  const moved = join(dirname(directory), String(raftId));
  renameSync(directory, moved);
  return {
    directory: moved,
    clusterId: 'cluster1' as ClusterId,
    former,
    self: { raftId, nodeId: `node${former}` as NodeId, address: `m${former}:1` },
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    tuning: { segmentBytes: 64 * 1024 },
  };
}

test('a survivor goes on with what was committed; lost members that come back are told and do not disturb', async () => {
  await using cluster = await TestCluster.of(3);
  const { store } = cluster.get(1);
  for (const name of ['a', 'b', 'c']) await write(store, name);
  const index = store.view.index;
  const options = await survivor(cluster, [2, 3]);
  await continueAlone(options);
  await continueAlone(options);
  expect(existsSync(`${options.directory}.before-0000000000000001`)).toBe(true);
  const alone = await cluster.restart(ALONE);
  await until(() => alone.store.isLeader());
  expect(names(alone.store)).toEqual(['a', 'b', 'c']);
  expect(await write(alone.store, 'd')).toBeGreaterThan(index);
  expect(alone.store.members().map(({ raftId }) => raftId)).toEqual([ALONE]);
  const { term } = alone.store;
  cluster.network.alias(1, ALONE);
  const back = await Promise.all([cluster.restart(2), cluster.restart(3)]);
  await until(() => back.every((manager) => manager.removed));
  expect(alone.store.isLeader()).toBe(true);
  expect(alone.store.term).toBe(term);
  await write(alone.store, 'e');
});

test('two survivors of five that both go on are two clusters, and the lost ones belong to neither', async () => {
  await using cluster = await TestCluster.of(5);
  await write(cluster.get(1).store, 'before');
  await until(() => names(cluster.get(2).store).length === 1);
  const options = [await survivor(cluster, [3, 4, 5], 1), await survivor(cluster, [], 2)];
  for (const each of options) await continueAlone(each);
  // Whoever dials the address of a survivor reaches what it is now.
  cluster.network.alias(1, ALONE);
  cluster.network.alias(2, ALONE + 1);
  const one = await cluster.restart(ALONE);
  const two = await cluster.restart(ALONE + 1);
  await until(() => one.store.isLeader() && two.store.isLeader());
  const back = await Promise.all([3, 4, 5].map((raftId) => cluster.restart(raftId)));
  await write(one.store, 'in the first');
  await write(two.store, 'in the second');
  await until(() => back.every(({ removed }) => removed));
  expect(names(one.store)).toEqual(['before', 'in the first']);
  expect(names(two.store)).toEqual(['before', 'in the second']);
  expect([one, two].map(({ store }) => store.members().length)).toEqual([1, 1]);
});

test('one that was never the leader keeps what it knew to be committed', async () => {
  await using cluster = await TestCluster.of(3);
  await cluster.get(1).store.transferLeadership(2);
  await until(() => cluster.get(2).store.isLeader());
  for (const name of ['a', 'b', 'c']) await write(cluster.get(2).store, name);
  await until(() => names(cluster.get(1).store).length === 3);
  const options = await survivor(cluster, [2, 3]);
  await continueAlone(options);
  const alone = await cluster.restart(ALONE);
  await until(() => alone.store.isLeader());
  expect(names(alone.store)).toEqual(['a', 'b', 'c']);
});

test('cut off at any step, a repetition finishes it', async () => {
  let steps = 0;
  for (let finished = false; !finished; steps++) {
    await using cluster = await TestCluster.of(1);
    await write(cluster.get(1).store, 'a');
    const options = await survivor(cluster, []);
    finished = await continueAlone({ ...options, disk: endingAfter(steps) }).then(
      () => true,
      () => false,
    );
    await continueAlone(options);
    const alone = await cluster.restart(ALONE);
    await until(() => alone.store.isLeader());
    expect(names(alone.store)).toEqual(['a']);
    await alone.store.stop();
    cluster.managers.delete(ALONE);
  }
  expect(steps).toBeGreaterThan(15);
});

/** A disk that does so many changes of folders, and no more. */
function endingAfter(steps: number): Disk {
  let left = steps;
  const count = <A extends readonly unknown[], R>(act: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      if (left-- <= 0) throw new Error('the power is gone');
      return await act(...args);
    };
  };
  const { open, readdir, mkdir, rename, unlink, fsyncDir } = systemDisk;
  return {
    open: count(open),
    readdir,
    mkdir: count(mkdir),
    rename: count(rename),
    unlink: count(unlink),
    fsyncDir: count(fsyncDir),
  };
}
