import { expect, test } from 'vitest';
import type { InstantMs } from '../model/index.ts';
import { StoreClock } from './store-clock.ts';

/** A wall clock that is set as one likes, beside one that only runs. */
function clocks(): { readonly clock: StoreClock; pass(ms: number): void; set(ms: number): void } {
  let wall = 1_000_000;
  let monotonicMs = 5;
  return {
    clock: new StoreClock({ now: () => wall as InstantMs, monotonicMs: () => monotonicMs }),
    pass: (ms): void => {
      wall += ms;
      monotonicMs += ms;
    },
    set: (ms): void => {
      wall += ms;
    },
  };
}

test('it is the wall clock as long as no entry is later', () => {
  const { clock, pass } = clocks();
  expect(clock.now(0 as InstantMs)).toBe(1_000_000);
  pass(1500);
  expect(clock.now(1_000_000 as InstantMs)).toBe(1_001_500);
});

test('an entry from a manager whose clock is ahead does not make time stand still', () => {
  const { clock, pass } = clocks();
  const last = 1_060_000 as InstantMs;
  expect(clock.now(last)).toBe(last);
  pass(1000);
  expect(clock.now(last)).toBe(last + 950);
  pass(100_000);
  expect(clock.now(last)).toBe(last + 95_950);
  // A minute is given back after twenty.
  pass(1_200_000);
  expect(clock.now(last)).toBe(1_000_000 + 1_301_000);
});

test('neither does a wall clock that is set back', () => {
  const { clock, pass, set } = clocks();
  const last = clock.now(0 as InstantMs);
  set(-3_600_000);
  expect(clock.now(last)).toBe(last);
  pass(1000);
  expect(clock.now(last)).toBe(last + 950);
});
