import { expect, test } from 'vitest';
import { Inflights } from './inflights.ts';

test('full by count, and free again up to what was acknowledged', () => {
  const window = new Inflights(3, 0);
  for (const index of [4, 6, 9]) window.add(index, 10);
  expect(window.full).toBe(true);
  window.freeUpTo(6);
  expect([window.count, window.full]).toEqual([1, false]);
  window.freeUpTo(3);
  expect(window.count).toBe(1);
  window.freeUpTo(9);
  expect(window.count).toBe(0);
});

test('full by bytes', () => {
  const window = new Inflights(100, 50);
  window.add(1, 30);
  expect(window.full).toBe(false);
  window.add(2, 30);
  expect(window.full).toBe(true);
  window.freeUpTo(1);
  expect(window.full).toBe(false);
});

test('a full window takes nothing more', () => {
  const window = new Inflights(1, 0);
  window.add(1, 1);
  expect(() => window.add(2, 1)).toThrow(expect.objectContaining({ code: 'ErrInvariant' }));
});

test('a long run keeps the bytes right', () => {
  const window = new Inflights(1000, 200);
  for (let index = 1; index <= 500; index++) {
    window.add(index, 100);
    if (index > 1) window.freeUpTo(index - 1);
    expect([window.count, window.full]).toEqual([1, false]);
  }
});
