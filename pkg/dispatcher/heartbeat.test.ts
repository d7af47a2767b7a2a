import { expect, test } from 'vitest';
import { systemClock } from '../io/index.ts';
import type { NodeId } from '../model/index.ts';
import { Heartbeats } from './heartbeat.ts';

const NODE = 'n' as NodeId;
const GRACE_MS = 60;
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Keeps this process from doing anything else. */
function stall(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

test('a heartbeat that came while this process stood still counts', async () => {
  const lost: NodeId[] = [];
  const heartbeats = new Heartbeats({
    clock: systemClock,
    graceMs: GRACE_MS,
    onLost: (nodes) => lost.push(...nodes),
  });
  heartbeats.beat(NODE);
  await nextTurn();
  // As input that waits: read after the timers that are due, before the next turn.
  setTimeout(() => setImmediate(() => heartbeats.beat(NODE)), 0);
  stall(GRACE_MS + 5);
  await new Promise((resolve) => setTimeout(resolve, 1));
  await nextTurn();
  expect([lost, heartbeats.isAlive(NODE)]).toEqual([[], true]);
  await expect.poll(() => lost).toEqual([NODE]);
  heartbeats.stop();
});
