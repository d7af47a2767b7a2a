import { expect, test } from 'vitest';
import { createObject, updateObject } from '../model/index.ts';
import { config, names, TestCluster, until, write } from './testing/cluster.ts';

const converged = (cluster: TestCluster): boolean => {
  const indexes = [...cluster.managers.values()].map(({ store }) => store.view.index);
  return indexes.every((index) => index === indexes[0]);
};

test('a write on any of them is read on every other after a barrier', async () => {
  await using cluster = await TestCluster.of(3);
  const follower = await cluster.follower();
  await write(follower.store, 'a');
  for (const { store } of cluster.managers.values()) {
    expect((await store.barrier()).byName('config', 'a')).toBeDefined();
  }
  expect(follower.store.leader()?.raftId).toBe((await cluster.leader()).member.raftId);
  expect(follower.store.members().every((member) => member.reachable)).toBe(true);
});

test('when the leader is killed another one takes over and no acknowledged write is lost or doubled', async () => {
  await using cluster = await TestCluster.of(3);
  const leader = await cluster.leader();
  const survivor = await cluster.follower();
  const acknowledged: string[] = [];
  let stop = false;
  const writer = async (prefix: string): Promise<void> => {
    for (let at = 0; !stop; at++) {
      await write(survivor.store, `${prefix}${at}`);
      acknowledged.push(`${prefix}${at}`);
    }
  };
  const writers = [writer('a'), writer('b'), writer('c')];
  await until(() => acknowledged.length > 20);
  await cluster.kill(leader.member.raftId);
  const before = acknowledged.length;
  await until(() => acknowledged.length > before + 20);
  stop = true;
  // Each name was created once: a repeated attempt would be refused as a name conflict here.
  await Promise.all(writers);
  const back = await cluster.restart(leader.member.raftId);
  await until(() => converged(cluster));
  expect(names(back.store)).toEqual(names(survivor.store));
  expect(new Set(names(survivor.store))).toEqual(new Set(acknowledged));
});

test('a leader whose connections broke is replaced long before the election timeout', async () => {
  const tickMs = 20;
  const electionTicks = 400;
  await using cluster = await TestCluster.of(3, { tickMs, electionTicks });
  const leader = await cluster.leader();
  const survivor = await cluster.follower();
  await cluster.kill(leader.member.raftId);
  const killedAt = performance.now();
  await write(survivor.store, 'a');
  expect(performance.now() - killedAt).toBeLessThan(tickMs * electionTicks);
});

test('all of them started at once have a leader long before the election timeout', async () => {
  const tickMs = 20;
  const electionTicks = 400;
  await using cluster = await TestCluster.of(3, { tickMs, electionTicks });
  for (const raftId of [1, 2, 3]) await cluster.kill(raftId);
  const begun = performance.now();
  for (const raftId of [1, 2, 3]) await cluster.restart(raftId);
  await write((await cluster.leader()).store, 'a');
  expect(performance.now() - begun).toBeLessThan(tickMs * electionTicks);
});

test('attempts whose messages get lost are repeated, and take effect once', async () => {
  await using cluster = await TestCluster.of(3);
  const { store } = await cluster.follower();
  await write(store, 'count', '0');
  let dice = 0;
  cluster.network.filter = (): boolean => dice++ % 4 !== 0;
  const increment = (): Promise<unknown> =>
    store.update((draft) => {
      const current = draft.byName('config', 'count');
      if (!current) throw new Error('not there');
      const Data = String(Number(current.spec.Data) + 1);
      draft.add(updateObject('config', { ...current, spec: { ...current.spec, Data } }));
    });
  for (let at = 0; at < 8; at++) await increment();
  cluster.network.filter = (): boolean => true;
  expect((await store.barrier()).byName('config', 'count')?.spec.Data).toBe('8');
});

test('all of them restarted have everything', async () => {
  await using cluster = await TestCluster.of(3);
  const { store } = await cluster.follower();
  for (let at = 0; at < 30; at++) await write(store, `c${at}`);
  for (const raftId of [1, 2, 3]) await cluster.kill(raftId);
  for (const raftId of [1, 2, 3]) await cluster.restart(raftId);
  const leader = await cluster.leader();
  expect(names(leader.store)).toHaveLength(30);
  await write(leader.store, 'more');
});

test('without a quorum reads and writes say so, with the count of managers', async () => {
  await using cluster = await TestCluster.of(3);
  const leader = await cluster.leader();
  for (const raftId of [1, 2, 3]) {
    if (raftId !== leader.member.raftId) await cluster.kill(raftId);
  }
  await until(() => !leader.store.isLeader());
  const started = performance.now();
  await expect(leader.store.barrier({ timeoutMs: 500 })).rejects.toThrow(
    'The swarm does not have a leader',
  );
  expect(performance.now() - started).toBeLessThan(1500);
  const text = '1 of 3 managers reachable';
  await expect(leader.store.barrier({ timeoutMs: 100 })).rejects.toThrow(text);
  const late = leader.store.propose([createObject('config', config('x'))], { timeoutMs: 100 });
  await expect(late).rejects.toMatchObject({ kind: 'unavailable' });
});

test('a leader that knows that it lost the quorum takes no write: it is refused, and not written later', async () => {
  // It goes on as the leader for long.
  await using cluster = await TestCluster.of(3, { electionTicks: 200 });
  const leader = await cluster.leader();
  const others = [1, 2, 3].filter((raftId) => raftId !== leader.member.raftId);
  for (const raftId of others) cluster.network.isolate(raftId);
  await until(() => leader.store.members().filter(({ reachable }) => reachable).length === 1);
  const begun = performance.now();
  await expect(write(leader.store, 'refused')).rejects.toMatchObject({ kind: 'unavailable' });
  expect(performance.now() - begun).toBeLessThan(2500);
  expect(leader.store.isLeader()).toBe(true);
  for (const raftId of others) cluster.network.heal(raftId);
  await write(leader.store, 'later');
  expect(names(leader.store)).toEqual(['later']);
});

test('a write that the leader took before it lost the quorum is of unknown outcome', async () => {
  await using cluster = await TestCluster.of(3);
  const leader = await cluster.leader();
  const taken = write(leader.store, 'taken');
  for (const raftId of [1, 2, 3]) {
    if (raftId !== leader.member.raftId) cluster.network.isolate(raftId);
  }
  await expect(taken).rejects.toMatchObject({
    kind: 'deadline',
    message: expect.stringMatching(/may still take effect.*quorum lost: 1 of 3 managers/),
  });
});

test('leadership is handed over on request and on an orderly stop', async () => {
  await using cluster = await TestCluster.of(3);
  const leader = await cluster.leader();
  const changes: boolean[] = [];
  using _listener = leader.store.onLeadership((leading) => changes.push(leading));
  const target = [1, 2, 3].find((raftId) => raftId !== leader.member.raftId) ?? 0;
  await leader.store.transferLeadership(target);
  await until(() => cluster.get(target).store.isLeader());
  expect(changes).toEqual([true, false]);
  await cluster.get(target).store.stop();
  cluster.managers.delete(target);
  await write((await cluster.leader()).store, 'a');
});

test('a manager that lags behind the log gets a snapshot', async () => {
  await using cluster = await TestCluster.of(3, { snapshotEntries: 40, trailingEntries: 5 });
  const leader = await cluster.leader();
  const late = (await cluster.follower()).member.raftId;
  await cluster.kill(late);
  for (let at = 0; at < 120; at++) await write(leader.store, `c${at}`);
  const back = await cluster.restart(late);
  await until(() => back.store.view.index >= leader.store.view.index);
  expect(names(back.store)).toEqual(names(leader.store));
  await cluster.kill(late);
  const again = await cluster.restart(late);
  await until(() => again.store.view.index >= leader.store.view.index);
  expect(names(again.store)).toEqual(names(leader.store));
});

test('a new manager joins after the log was cut, by a snapshot that knows it', async () => {
  await using cluster = await TestCluster.of(1, { snapshotEntries: 40, trailingEntries: 5 });
  const first = cluster.get(1);
  for (let at = 0; at < 120; at++) await write(first.store, `c${at}`);
  const second = await cluster.join(2);
  await until(() => converged(cluster));
  expect(names(second.store)).toEqual(names(first.store));
  await write(second.store, 'from the new one');
  expect(names(first.store)).toContain('from the new one');
});

test('a removed manager is told, and the rest goes on; one that the quorum needs is not removed', async () => {
  await using cluster = await TestCluster.of(3);
  const leader = await cluster.leader();
  const [gone, rest] = [1, 2, 3].filter((raftId) => raftId !== leader.member.raftId);
  const removed = cluster.get(gone ?? 0);
  await leader.store.removeMember(removed.member.raftId);
  await until(() => removed.removed);
  await removed.store.stop();
  cluster.managers.delete(removed.member.raftId);
  expect(leader.store.members()).toHaveLength(2);
  await cluster.kill(rest ?? 0);
  await until(() => leader.store.members().some((member) => !member.reachable));
  const refused = leader.store.removeMember(leader.member.raftId);
  await expect(refused).rejects.toThrow('may result in loss of quorum');
});

test('a removed manager goes only when the rest needs it no more, even after a power failure', async () => {
  for (const size of [2, 2, 2, 4]) {
    await using cluster = await TestCluster.of(size);
    const leader = await cluster.leader();
    const gone = await cluster.follower();
    const rest = [...cluster.managers.keys()].filter((raftId) => raftId !== gone.member.raftId);
    const killed = new Promise<void>((resolve, reject) => {
      gone.onRemoved = (): void => {
        Promise.all([...cluster.managers.keys()].map((raftId) => cluster.kill(raftId))).then(
          () => resolve(),
          reject,
        );
      };
    });
    leader.store.removeMember(gone.member.raftId).catch(() => undefined);
    await killed;
    // A minority of the rest never comes back.
    for (const raftId of rest.slice(0, Math.floor(rest.length / 2) + 1))
      await cluster.restart(raftId);
    await write((await cluster.leader()).store, 'after');
  }
});

test('a removal whose author dies half way is finished by the next leader', async () => {
  await using cluster = await TestCluster.of(4);
  const leader = await cluster.leader();
  const gone = await cluster.follower();
  const here = (): boolean =>
    leader.store.members().some(({ raftId }) => raftId === gone.member.raftId);
  leader.store.removeMember(gone.member.raftId).catch(() => undefined);
  while (here()) await new Promise((resolve) => setImmediate(resolve));
  await cluster.kill(leader.member.raftId);
  await until(() => gone.removed);
});

test('a leader that is removed hands over first', async () => {
  await using cluster = await TestCluster.of(3);
  const leader = await cluster.leader();
  await leader.store.removeMember(leader.member.raftId);
  await until(() => leader.removed);
  await leader.store.stop();
  cluster.managers.delete(leader.member.raftId);
  const next = await cluster.leader();
  await write(next.store, 'a');
  expect(next.store.members()).toHaveLength(2);
});
