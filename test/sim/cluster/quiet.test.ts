import { expect, test } from 'vitest';
import { Quiet } from './quiet.ts';

test('quiet before somebody waited for it does not count: what was asked for last may still be on its way', () => {
  const quiet = new Quiet(8_000);
  expect(quiet.lasts(8_200, 0, true)).toBe(200);
  expect(quiet.lasts(9_000, 2, true)).toBe(0);
  expect(quiet.lasts(9_500, 2, false)).toBe(0);
  expect(quiet.lasts(15_500, 2, true)).toBe(6_000);
});
