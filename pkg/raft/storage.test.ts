import { beforeEach, expect, test } from 'vitest';
import { EMPTY_CONF_STATE, type Entry } from './message.ts';
import { limitSize, MemoryStorage } from './storage.ts';

const NO_LIMIT = Number.POSITIVE_INFINITY;
const entry = (index: number, term: number, bytes = 0): Entry => ({
  index,
  term,
  type: 'EntryNormal',
  data: new Uint8Array(bytes),
});
const code = (name: string): unknown => expect.objectContaining({ code: name });
let storage: MemoryStorage;

beforeEach(() => {
  storage = new MemoryStorage();
  storage.append([entry(1, 1), entry(2, 1), entry(3, 2), entry(4, 2)]);
});

test('reads what was appended', () => {
  expect([storage.firstIndex(), storage.lastIndex()]).toEqual([1, 4]);
  expect(storage.term(0)).toBe(0);
  expect(storage.term(3)).toBe(2);
  expect(storage.entries(2, 4, NO_LIMIT).map((e) => e.index)).toEqual([2, 3]);
  expect(() => storage.term(5)).toThrow(code('ErrUnavailable'));
  expect(() => storage.entries(2, 6, NO_LIMIT)).toThrow(code('ErrUnavailable'));
});

test('a conflicting entry replaces everything from its index on', () => {
  storage.append([entry(3, 5)]);
  expect(storage.lastIndex()).toBe(3);
  expect(storage.term(3)).toBe(5);
  expect(() => storage.append([entry(6, 5)])).toThrow(code('ErrInvariant'));
});

test('what is compacted is gone, except the term of the last such entry', () => {
  storage.compact(2);
  expect([storage.firstIndex(), storage.term(2)]).toEqual([3, 1]);
  expect(() => storage.term(1)).toThrow(code('ErrCompacted'));
  expect(() => storage.entries(2, 4, NO_LIMIT)).toThrow(code('ErrCompacted'));
  expect(() => storage.compact(2)).toThrow(code('ErrCompacted'));
  storage.append([entry(1, 1), entry(2, 1), entry(3, 3)]);
  expect([storage.lastIndex(), storage.term(3)]).toEqual([3, 3]);
});

test('a received snapshot replaces the log, an old one is refused', () => {
  const snapshot = { index: 9, term: 4, confState: EMPTY_CONF_STATE, data: new Uint8Array(0) };
  storage.applySnapshot(snapshot);
  expect([storage.firstIndex(), storage.lastIndex(), storage.term(9)]).toEqual([10, 9, 4]);
  expect(() => storage.applySnapshot({ ...snapshot, index: 8 })).toThrow(code('ErrSnapOutOfDate'));
});

test('a snapshot of the own state leaves the log alone', () => {
  const confState = { ...EMPTY_CONF_STATE, voters: [1] };
  storage.createSnapshot({ index: 3, term: 2, confState, data: new Uint8Array(0) });
  expect([storage.firstIndex(), storage.snapshot().index]).toEqual([1, 3]);
  expect(storage.initialState().confState).toEqual(confState);
});

test('a size limit never leaves nothing', () => {
  const entries = [entry(1, 1, 100), entry(2, 1, 100), entry(3, 1, 100)];
  expect(limitSize(entries, 0)).toHaveLength(1);
  expect(limitSize(entries, 224)).toHaveLength(2);
  expect(limitSize(entries, 336)).toHaveLength(3);
  expect(limitSize([], 10)).toEqual([]);
});
