import { expect, test } from 'vitest';
import {
  ClusterError,
  createObject,
  type InstantMs,
  Tables,
  type Version,
} from '../model/index.ts';
import type { Batch } from './contract.ts';
import { History } from './history.ts';
import { config, TestCluster, until, write } from './testing/cluster.ts';

const never = new AbortController().signal;
const NOW = 0 as InstantMs;

/** A batch at `index` with `count` changes. */
function batch(index: number, count = 1): Batch {
  const changes = Array.from({ length: count }, (_, at) =>
    createObject('config', config(`c${index}-${at}`)),
  );
  const version = index as Version;
  return {
    index: version,
    now: NOW,
    changes: new Tables().apply(changes, version, NOW),
    reset: false,
  };
}

async function take(from: AsyncIterable<Batch>, count: number): Promise<readonly number[]> {
  const indexes: number[] = [];
  if (count === 0) return indexes;
  for await (const { index } of from) if (indexes.push(index) === count) break;
  return indexes;
}

function filled(changesMax: number, indexes: readonly number[]): History {
  const history = new History(changesMax, 0 as Version);
  for (const index of indexes) history.add(batch(index));
  return history;
}

const compacted = { kind: 'conflict', code: 'ERR_COMPACTED' };

test('who resumes gets everything behind its index once, then what comes', async () => {
  const history = filled(100, [2, 3, 7, 9]);
  for (const [after, expected] of [
    [0, [2, 3, 7, 9, 12]],
    [3, [7, 9, 12]],
    [5, [7, 9, 12]],
    [9, [12]],
  ] as const) {
    const taken = take(history.follow(after as Version, never), expected.length);
    await new Promise(setImmediate);
    if (after === 9) history.add(batch(12));
    if (after === 9) expect(await taken).toEqual(expected);
    else
      expect(await take(history.follow(after as Version, never), expected.length - 1)).toEqual(
        expected.slice(0, -1),
      );
  }
});

test('who is ahead of this manager is not told again what it knows', async () => {
  const history = filled(100, [2, 3]);
  const taken = take(history.follow(5 as Version, never), 1);
  for (const index of [4, 5, 6]) history.add(batch(index));
  expect(await taken).toEqual([6]);
});

test('what was forgotten cannot be resumed, and the error says what can', async () => {
  const history = filled(3, [1, 2, 3, 4, 5]);
  await expect(take(history.follow(1 as Version, never), 1)).rejects.toMatchObject(compacted);
  await expect(take(history.follow(1 as Version, never), 1)).rejects.toThrow('behind 2');
  expect(await take(history.follow(2 as Version, never), 3)).toEqual([3, 4, 5]);
});

test('a slow reader is cut when the list has moved past it, and holds nobody up', async () => {
  const history = filled(10, [1]);
  const slow = history.follow(0 as Version, never);
  expect((await slow.next()).value?.index).toBe(1);
  for (let index = 2; index < 5000; index++) history.add(batch(index));
  await expect(slow.next()).rejects.toMatchObject(compacted);
  expect(await take(history.follow(4990 as Version, never), 9)).toHaveLength(9);
});

test('the last batch is kept however large it is', async () => {
  const history = new History(10, 0 as Version);
  history.add(batch(1, 50));
  expect(await take(history.follow(0 as Version, never), 1)).toEqual([1]);
});

test('a snapshot cuts all who have not come that far', async () => {
  const history = filled(100, [1, 2]);
  const waiting = take(history.follow(2 as Version, never), 1);
  const ahead = take(history.follow(20 as Version, never), 1);
  await new Promise(setImmediate);
  history.add({ index: 20 as Version, now: NOW, changes: [], reset: true });
  await expect(waiting).rejects.toMatchObject(compacted);
  history.add(batch(21));
  expect(await ahead).toEqual([21]);
});

test('a signal ends it without an error, the end of the store with one', async () => {
  const history = filled(100, [1]);
  const stop = new AbortController();
  const stopped = take(history.follow(1 as Version, stop.signal), 5);
  const failed = take(history.follow(1 as Version, never), 5);
  await new Promise(setImmediate);
  stop.abort();
  expect(await stopped).toEqual([]);
  history.end(new ClusterError('unavailable', 'this manager is stopping'));
  await expect(failed).rejects.toMatchObject({ kind: 'unavailable' });
});

test('changes of one manager go on at another, and after a restart from what its log has', async () => {
  await using cluster = await TestCluster.of(3);
  const [first, second] = [cluster.get(1), cluster.get(2)];
  const start = first.store.view.index;
  const written: number[] = [];
  for (const name of ['a', 'b', 'c', 'd']) written.push(await write(first.store, name));
  const [a, b, ...rest] = written;
  expect(await take(first.store.changes(start, never), 2)).toEqual([a, b]);
  expect(await take(second.store.changes(b as Version, never), 2)).toEqual(rest);
  await second.store.stop();
  const again = await cluster.restart(2);
  await until(() => again.store.view.index >= (written.at(-1) ?? 0));
  expect(await take(again.store.changes(a as Version, never), 3)).toEqual(written.slice(1));
});
