/** The whole store under faults. One seed is one run: `npx tsx --conditions=source test/sim/store/main.ts <seed>`. */
import { expect, test } from 'vitest';
import { type Result, simulate } from './store/simulation.ts';

const SEEDS = 200;

test('what is acknowledged survives, once, in one order, and the members come together again', {
  timeout: 600_000,
}, async () => {
  const total: Record<string, number> = {};
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { counts } = await run(seed);
    for (const [key, value] of Object.entries(counts)) total[key] = (total[key] ?? 0) + value;
  }
  // The runs did exercise what they are about.
  expect(total['operations']).toBeGreaterThan(SEEDS * 20);
  expect(total['unknown']).toBeGreaterThan(SEEDS);
  expect(total['crashes']).toBeGreaterThan(SEEDS);
  expect(total['diskFaults']).toBeGreaterThan(SEEDS / 4);
  expect(total['partitions']).toBeGreaterThan(SEEDS / 2);
  expect(total['handOvers']).toBeGreaterThan(SEEDS / 4);
  expect(total['removed']).toBeGreaterThan(SEEDS / 5);
  expect(total['added']).toBeGreaterThan(SEEDS / 5);
  expect(total['moved']).toBeGreaterThan(SEEDS / 5);
  expect(total['followed']).toBeGreaterThan(SEEDS * 20);
});

test('the same seed gives the same run', async () => {
  for (const seed of [3, 14, 159]) expect((await run(seed)).digest).toBe((await run(seed)).digest);
});

async function run(seed: number): Promise<Result> {
  try {
    return await simulate(seed);
  } catch (cause) {
    const command = `npx tsx --conditions=source test/sim/store/main.ts ${seed}`;
    throw new Error(`seed ${seed} failed; repeat it with: ${command}`, { cause });
  }
}
