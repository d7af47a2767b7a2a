import { beforeEach, expect, test } from 'vitest';
import { RaftLog } from './log.ts';
import { EMPTY_CONF_STATE, type Entry } from './message.ts';
import { MemoryStorage } from './storage.ts';

const NO_LIMIT = Number.POSITIVE_INFINITY;
const entry = (index: number, term: number, bytes = 0): Entry => ({
  index,
  term,
  type: 'EntryNormal',
  data: new Uint8Array(bytes),
});
let storage: MemoryStorage;
let log: RaftLog;

/** Entries 1 to 3 are stored, 4 and 5 are not. */
beforeEach(() => {
  storage = new MemoryStorage();
  storage.append([entry(1, 1), entry(2, 1), entry(3, 2)]);
  log = new RaftLog(storage, NO_LIMIT);
  log.append([entry(4, 2), entry(5, 3)]);
});

test('reads across the border between storage and memory', () => {
  expect(log.lastId()).toEqual({ index: 5, term: 3 });
  expect(log.slice(2, 6, NO_LIMIT)?.map((e) => e.index)).toEqual([2, 3, 4, 5]);
  expect(log.slice(2, 6, 24)?.map((e) => e.index)).toEqual([2, 3]);
  expect(log.slice(2, 6, 36)?.map((e) => e.index)).toEqual([2, 3, 4]);
  expect(log.term(6)).toBeUndefined();
});

test('an append that brings nothing new does not shorten the log', () => {
  expect(log.tryAppend({ index: 2, term: 1 }, [entry(3, 2)])).toBe(true);
  expect(log.lastIndex()).toBe(5);
});

test('an append that conflicts replaces the rest', () => {
  expect(log.tryAppend({ index: 2, term: 1 }, [entry(3, 2), entry(4, 4)])).toBe(true);
  expect(log.lastId()).toEqual({ index: 4, term: 4 });
  expect(log.unstable.nextEntries().map((e) => e.term)).toEqual([4]);
});

test('an append that does not fit changes nothing', () => {
  expect(log.tryAppend({ index: 4, term: 3 }, [entry(5, 4)])).toBe(false);
  expect(log.tryAppend({ index: 7, term: 3 }, [entry(8, 4)])).toBe(false);
  expect(log.lastId()).toEqual({ index: 5, term: 3 });
});

test('a committed entry is never replaced', () => {
  log.commitTo(4);
  expect(() => log.tryAppend({ index: 3, term: 2 }, [entry(4, 9)])).toThrow(
    expect.objectContaining({ code: 'ErrInvariant' }),
  );
});

test('the best guess where two logs agree skips whole terms', () => {
  expect(log.lastNotAfter(5, 2)).toEqual({ index: 4, term: 2 });
  expect(log.lastNotAfter(5, 1)).toEqual({ index: 2, term: 1 });
  expect(log.lastNotAfter(5, 0)).toEqual({ index: 0, term: 0 });
});

test('committed entries are handed out once, stored ones only if asked for', () => {
  log.commitTo(5);
  expect(log.nextCommitted(false).map((e) => e.index)).toEqual([1, 2, 3]);
  log.acceptApplying(log.nextCommitted(false), false);
  expect(log.hasNextCommitted(false)).toBe(false);
  log.appliedTo(3, 36);
  expect(log.nextCommitted(true).map((e) => e.index)).toEqual([4, 5]);
});

test('applying stops when enough is on the way', () => {
  log = new RaftLog(storage, 24);
  log.commitTo(3);
  const first = log.nextCommitted(true);
  expect(first).toHaveLength(2);
  log.acceptApplying(first, true);
  expect(log.hasNextCommitted(true)).toBe(false);
  log.appliedTo(2, 24);
  expect(log.nextCommitted(true).map((e) => e.index)).toEqual([3]);
});

test('entries are stable only if they are still the ones that were written', () => {
  log.unstable.acceptInProgress();
  log.append([entry(4, 5)]);
  log.unstable.stableTo(4, 2);
  expect(log.unstable.entries.map((e) => e.term)).toEqual([5]);
  log.unstable.stableTo(4, 5);
  expect(log.unstable.entries).toEqual([]);
});

test('a snapshot takes the place of the log, and what follows comes behind it', () => {
  const confState = { ...EMPTY_CONF_STATE, voters: [1] };
  log.restore({ index: 20, term: 6, confState, data: new Uint8Array(0) });
  expect([log.firstIndex(), log.lastIndex(), log.committed, log.term(20)]).toEqual([21, 20, 20, 6]);
  log.append([entry(21, 6)]);
  expect(log.hasNextCommitted(true)).toBe(false);
  expect(log.unstable.nextSnapshot()?.index).toBe(20);
  log.unstable.acceptInProgress();
  expect(log.unstable.nextSnapshot()).toBeNull();
  log.unstable.stableSnapshotTo(19);
  expect(log.unstable.snapshot).not.toBeNull();
  log.unstable.stableSnapshotTo(20);
  expect(log.unstable.snapshot).toBeNull();
});
