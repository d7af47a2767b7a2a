/** The whole cluster under faults. One seed is one run: `npx tsx --conditions=source test/sim/cluster/main.ts <seed>`. */
import { expect, test } from 'vitest';
import { type Level, type Result, simulate } from './cluster/simulation.ts';

const MODEL_SEEDS = 500;
const STORE_SEEDS = 8;
const LIMIT_MS = 600_000;

test('what the cluster promises holds, and it comes to rest as it was asked to', {
  timeout: LIMIT_MS,
}, async () => {
  const total = await runAll('model', MODEL_SEEDS);
  // The runs did exercise what they are about.
  expect(total.entries).toBeGreaterThan(MODEL_SEEDS * 50);
  expect(total.started).toBeGreaterThan(MODEL_SEEDS * 10);
  expect(total.faults).toBeGreaterThan(MODEL_SEEDS * 4);
  expect(total.drains).toBeGreaterThan(MODEL_SEEDS / 4);
  expect(total.fenced).toBeGreaterThan(MODEL_SEEDS / 10);
});

test('it holds on real stores as well', { timeout: LIMIT_MS }, async () => {
  const total = await runAll('store', STORE_SEEDS);
  expect(total.started).toBeGreaterThan(STORE_SEEDS * 10);
});

test('the same seed gives the same run', { timeout: LIMIT_MS }, async () => {
  for (const seed of [3, 14]) {
    expect((await run(seed, 'model')).digest).toBe((await run(seed, 'model')).digest);
  }
  expect((await run(3, 'store')).digest).toBe((await run(3, 'store')).digest);
});

async function runAll(level: Level, seeds: number): Promise<Result['counts']> {
  const total = { entries: 0, started: 0, drains: 0, faults: 0, fenced: 0 };
  for (let seed = 1; seed <= seeds; seed++) {
    const { counts } = await run(seed, level);
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += counts[key];
  }
  return total;
}

async function run(seed: number, level: Level): Promise<Result> {
  try {
    return await simulate(seed, level);
  } catch (cause) {
    const command = `npx tsx --conditions=source test/sim/cluster/main.ts ${seed} 1 ${level}`;
    throw new Error(`seed ${seed} failed; repeat it with: ${command}`, { cause });
  }
}
