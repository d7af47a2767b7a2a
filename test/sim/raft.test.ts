/** The raft core under faults. One seed is one run: `npx tsx --conditions=source test/sim/raft/main.ts <seed>`. */
import * as core from 'raft-js';
import { expect, test } from 'vitest';
import { simulate } from './raft/simulation.ts';

const SEEDS = 1000;
/**
 * Seeds beyond those that found something once. 1001: a lease outlived the configuration that gave it. 2910: a leader with an
 * unwritten log. 15718: a member with a higher term ignored a leader that it did not know.
 * 31397: a leader that had removed itself trusted its lease.
 */
const FOUND = [1001, 2910, 15718, 31397];
/** Runs that are repeated: the same seed must give the same run. */
const REPEATED = 100;

test('no rule of raft is broken, and the group recovers', { timeout: 900_000 }, () => {
  const total = { leaders: 0, commits: 0, reads: 0, configs: 0, snapshots: 0 };
  for (const seed of [...Array(SEEDS + 1).keys()].slice(1).concat(FOUND)) {
    const { counts } = run(seed);
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += counts[key];
  }
  // The runs did exercise what they are about.
  expect(total.leaders).toBeGreaterThan(SEEDS);
  expect(total.commits).toBeGreaterThan(SEEDS * 20);
  expect(total.reads).toBeGreaterThan(SEEDS * 5);
  expect(total.configs).toBeGreaterThan(SEEDS);
  expect(total.snapshots).toBeGreaterThan(SEEDS);
});

test('the same seed gives the same run', { timeout: 300_000 }, () => {
  for (let seed = 1; seed <= REPEATED; seed++) expect(run(seed).digest).toBe(run(seed).digest);
});

function run(seed: number): ReturnType<typeof simulate> {
  try {
    return simulate(seed, core);
  } catch (cause) {
    const command = `npx tsx --conditions=source test/sim/raft/main.ts ${seed}`;
    throw new Error(`seed ${seed} failed; repeat it with: ${command}`, { cause });
  }
}
