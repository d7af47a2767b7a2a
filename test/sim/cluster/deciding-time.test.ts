import { expect, test } from 'vitest';
import { type Clock, silentLogger, systemRandom } from '../../../pkg/io/index.ts';
import { type InstantMs, inSteps, Tables } from '../../../pkg/model/index.ts';
import { runControlLoop } from '../../../pkg/store/index.ts';
import { World } from '../store/world.ts';
import { thatDecidingTakes } from './deciding-time.ts';

test('a decision lets time go on, a few milliseconds a pause, however quiet the cluster is', async () => {
  const world = new World(1);
  const abort = new AbortController();
  const now = (): InstantMs => Math.floor(world.now) as InstantMs;
  const clock: Clock = {
    now,
    monotonicMs: () => world.now,
    after: (delayMs, action) => world.after(delayMs, action),
  };
  let decidedAt: number | undefined;
  const slow = inSteps(function* slow() {
    for (let step = 0; step < 40; step++) yield;
    decidedAt = world.now;
    return { changes: [] };
  });
  const nothing = { [Symbol.dispose]: (): void => undefined };
  const running = runControlLoop({
    store: {
      view: new Tables(),
      now,
      propose: () => Promise.reject(new Error('there is nothing to write')),
      watch: () => nothing,
      onLeadership: (listener) => {
        listener(true);
        return nothing;
      },
    },
    deciders: [slow],
    clock: thatDecidingTakes(clock, world),
    random: systemRandom,
    logger: silentLogger,
    signal: abort.signal,
  });
  // All else that happens.
  for (const atMs of [1_000, 2_000, 3_000]) world.after(atMs, () => undefined);
  await world.play(
    5_000,
    () => decidedAt !== undefined,
    () => undefined,
  );
  abort.abort();
  await running;
  expect(decidedAt).toBeGreaterThan(5);
  expect(decidedAt).toBeLessThan(300);
});
