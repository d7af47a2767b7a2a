import { expect, test } from 'vitest';
import { flagFilter, parseFilters } from './filters.ts';

const KEYS = ['name', 'label', 'label!', 'dangling'];

test.each([
  ['{"name":["a","b"]}', ['a', 'b']],
  ['{"name":{"a":true,"b":true}}', ['a', 'b']],
  ['{"name":{"a":true,"b":false}}', ['a']],
  ['{}', []],
  ['null', []],
  ['', []],
  [undefined, []],
])('%j holds the names %j', (text, names) => {
  expect(parseFilters(text, KEYS).values('name')).toEqual(names);
});

test.each(['{', '[]', '"name"', '{"colour":["red"]}'])('%s is refused', (text) => {
  expect(() => parseFilters(text, KEYS)).toThrow(/invalid filter/);
});

test('values of one key are alternatives, an absent key accepts everything', () => {
  const filters = parseFilters('{"name":["we","db"]}', KEYS);
  expect(filters.prefix('name', 'web')).toBe(true);
  expect(filters.prefix('name', undefined, 'dbase')).toBe(true);
  expect(filters.prefix('name', 'other')).toBe(false);
  expect(filters.exact('name', 'web')).toBe(false);
  expect(filters.exact('dangling', 'whatever')).toBe(true);
});

test('every label must hold', () => {
  const filters = parseFilters('{"label":["a","b=1"],"label!":["c"]}', KEYS);
  expect(filters.labels('label', { a: 'x', b: '1' })).toBe(true);
  expect(filters.labels('label', { a: 'x', b: '2' })).toBe(false);
  expect(filters.labels('label', null)).toBe(false);
  expect(filters.withoutLabels({ a: 'x' })).toBe(true);
  expect(filters.withoutLabels({ c: '' })).toBe(false);
});

test.each([
  ['{"dangling":["true"]}', true],
  ['{"dangling":{"0":true}}', false],
  ['{}', undefined],
])('%s is the flag %s', (text, flag) => {
  expect(flagFilter(parseFilters(text, KEYS), 'dangling')).toBe(flag);
});

test('a flag that is neither true nor false is refused', () => {
  expect(() => flagFilter(parseFilters('{"dangling":["maybe"]}', KEYS), 'dangling')).toThrow(
    "invalid filter 'dangling=[maybe]'",
  );
});
