/** The long run: `npx tsx --conditions=source test/cluster/demotions.ts --rounds=100`. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestCluster } from './cluster.ts';
import { demotionRounds } from './demotion-rounds.ts';

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start('demotion', { managers: 3, agents: 0 });
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

test('managers are demoted down to one and promoted again: the quorum is never lost, and no write fails', async () => {
  for await (const { kind, failures } of demotionRounds(cluster.lab, 2))
    expect({ kind, failures }).toEqual({ kind, failures: [] });
});
