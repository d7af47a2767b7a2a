import { expect, test } from 'vitest';
import type { NodeId } from '../model/index.ts';
import { type Manager, names, TestCluster, until, write } from './testing/cluster.ts';

const all = (cluster: TestCluster): readonly Manager[] => [...cluster.managers.values()];

/** Everybody knows these addresses, and a restart would find them in the log. */
function agree(cluster: TestCluster, addresses: readonly string[]): boolean {
  return all(cluster).every(({ store }) => {
    const members = store.members().toSorted((left, right) => left.raftId - right.raftId);
    return (
      members.map(({ address }) => address).join() === addresses.join() &&
      members.every(({ reachable }) => reachable)
    );
  });
}

async function move(cluster: TestCluster, raftIds: readonly number[]): Promise<void> {
  for (const raftId of raftIds) await cluster.kill(raftId);
  for (const raftId of raftIds) await cluster.restart(raftId, `new${raftId}:1`);
}

test('one after the other comes back under another address, the leader as well', async () => {
  await using cluster = await TestCluster.of(3);
  await write((await cluster.leader()).store, 'before');
  const addresses = ['m1:1', 'm2:1', 'm3:1'];
  for (const raftId of [1, 2, 3]) {
    await move(cluster, [raftId]);
    addresses[raftId - 1] = `new${raftId}:1`;
    await until(() => agree(cluster, addresses));
    await write(cluster.get(raftId).store, `after${raftId}`);
  }
  // From the log alone.
  for (const raftId of [1, 2, 3]) await cluster.kill(raftId);
  for (const raftId of [1, 2, 3]) await cluster.restart(raftId, `new${raftId}:1`);
  const leader = await cluster.leader();
  await until(() => agree(cluster, addresses));
  expect(names(leader.store)).toEqual(['before', 'after1', 'after2', 'after3']);
});

test('two of three at once find each other through the third', async () => {
  await using cluster = await TestCluster.of(3);
  await write((await cluster.leader()).store, 'before');
  await move(cluster, [1, 2]);
  await write((await cluster.leader()).store, 'after');
  await until(() => agree(cluster, ['new1:1', 'new2:1', 'm3:1']));
});

test('all at once say that there is no quorum and what to do, until one of them is told where the others are', async () => {
  await using cluster = await TestCluster.of(3);
  await write((await cluster.leader()).store, 'before');
  await move(cluster, [1, 2, 3]);
  const told = cluster.get(1);
  const late = told.store.barrier({ timeoutMs: 300 });
  await expect(late).rejects.toThrow(
    /1 of 3 managers reachable.* start this agent with --managers/,
  );
  for (const raftId of [2, 3]) {
    const other = cluster.get(raftId);
    other.store.introduced(1, [told.member]);
    told.store.introduced(raftId, [other.member]);
  }
  await write((await cluster.leader()).store, 'after');
  await until(() => agree(cluster, ['new1:1', 'new2:1', 'new3:1']));
});

test('a learner that moves becomes a voter all the same', async () => {
  await using cluster = await TestCluster.of(2);
  const leader = await cluster.leader();
  const member = { ...leader.member, raftId: 3, nodeId: 'node3' as NodeId, address: 'm3:1' };
  await leader.store.addMember(member);
  await cluster.start(3, { kind: 'join', members: leader.store.members() }, 'new3:1');
  await until(() => agree(cluster, ['m1:1', 'm2:1', 'new3:1']));
  await until(() => all(cluster).every(({ store }) => store.members()[2]?.role === 'voter'));
});
