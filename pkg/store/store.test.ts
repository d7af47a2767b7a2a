import { expect, test } from 'vitest';
import { createObject, removeObject, updateObject } from '../model/index.ts';
import { config, names, TestCluster, until, write } from './testing/cluster.ts';

test('a single manager commits, answers linearizable reads and has it all after a restart', async () => {
  await using cluster = await TestCluster.of(1);
  const { store } = cluster.get(1);
  const index = await write(store, 'a');
  await store.update((draft) => {
    const current = draft.byName('config', 'a');
    if (current)
      draft.add(updateObject('config', { ...current, spec: { ...current.spec, Data: 'x' } }));
  });
  expect((await store.barrier()).byName('config', 'a')?.version).toBe(index + 1);
  await store.stop();
  const again = await cluster.restart(1);
  await until(() => again.store.isLeader());
  expect(again.store.view.byName('config', 'a')?.spec.Data).toBe('x');
});

test('a name in use, an object changed meanwhile and a missing one are refused with their reason', async () => {
  await using cluster = await TestCluster.of(1);
  const { store } = cluster.get(1);
  await write(store, 'a');
  await expect(write(store, 'a')).rejects.toMatchObject({
    kind: 'conflict',
    code: 'ERR_NAME_CONFLICT',
  });
  const old = store.view.byName('config', 'a');
  if (!old) throw new Error('not there');
  await store.propose([updateObject('config', { ...old, spec: { ...old.spec, Data: '1' } })]);
  await expect(store.propose([removeObject('config', old)])).rejects.toThrow(
    'update out of sequence',
  );
  const missing = config('nothing');
  await expect(store.propose([removeObject('config', missing)])).rejects.toMatchObject({
    kind: 'not-found',
  });
});

test('two writers of one object do not lose an update', async () => {
  await using cluster = await TestCluster.of(1);
  const { store } = cluster.get(1);
  await write(store, 'count', '0');
  const increment = (): Promise<unknown> =>
    store.update((draft) => {
      const current = draft.byName('config', 'count');
      if (!current) throw new Error('not there');
      const Data = String(Number(current.spec.Data) + 1);
      draft.add(updateObject('config', { ...current, spec: { ...current.spec, Data } }));
    });
  await Promise.all(Array.from({ length: 10 }, increment));
  expect(store.view.byName('config', 'count')?.spec.Data).toBe('10');
});

test('watchers are told of every entry, in order, before its writer is', async () => {
  await using cluster = await TestCluster.of(1);
  const { store } = cluster.get(1);
  const seen: string[] = [];
  using _watch = store.watch((batch) => {
    for (const { kind, after } of batch.changes)
      if (kind === 'config') seen.push(after?.spec.Name ?? '');
  });
  const writes = ['a', 'b', 'c'].map(async (name) => {
    await write(store, name);
    expect(seen).toContain(name);
  });
  await Promise.all(writes);
  expect(seen).toEqual(['a', 'b', 'c']);
});

test('more changes than one entry takes are written in order by several', async () => {
  await using cluster = await TestCluster.of(1);
  const { store } = cluster.get(1);
  const changes = Array.from({ length: 450 }, (_, at) => createObject('config', config(`c${at}`)));
  const before = store.view.index;
  const { index } = await store.propose(changes);
  expect(index).toBe(before + 3);
  expect(store.view.count('config')).toBe(450);
  // The second piece does not fit, so the third must not happen.
  const more = Array.from({ length: 450 }, (_, at) => createObject('config', config(`d${at}`)));
  more[250] = createObject('config', config('c7'));
  await expect(store.propose(more)).rejects.toMatchObject({ code: 'ERR_NAME_CONFLICT' });
  expect(store.view.count('config')).toBe(650);
});

test('an error of fdatasync ends the store, and what was acknowledged is there afterwards', async () => {
  await using cluster = await TestCluster.of(1);
  const manager = cluster.get(1);
  await write(manager.store, 'kept');
  manager.disk.failSyncs = true;
  await expect(write(manager.store, 'lost')).rejects.toMatchObject({ kind: 'unavailable' });
  expect(manager.fatal).toHaveLength(1);
  await cluster.kill(1);
  const again = await cluster.restart(1);
  await until(() => again.store.isLeader());
  expect(names(again.store)).toContain('kept');
});

test('a directory in use is refused', async () => {
  await using cluster = await TestCluster.of(1);
  await expect(cluster.start(1, { kind: 'bootstrap' })).rejects.toThrow('is in use by process');
});
