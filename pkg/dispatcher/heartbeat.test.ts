import { expect, test } from 'vitest';
import { type Clock, systemClock, type Timer } from '../io/index.ts';
import type { InstantMs, NodeId } from '../model/index.ts';
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
    agentRun: () => undefined,
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

/** Time that stands still until `pass`; what is due runs with a turn after each, as judgements need. */
class SlowClock implements Clock {
  #now = 0;
  #timer: { readonly at: number; readonly action: () => void } | undefined;
  now(): InstantMs {
    return this.#now as InstantMs;
  }
  monotonicMs(): number {
    return this.#now;
  }
  after(delayMs: number, action: () => void): Timer {
    const timer = { at: this.#now + delayMs, action };
    this.#timer = timer;
    const cancel = (): void => {
      if (this.#timer === timer) this.#timer = undefined;
    };
    return { cancel, [Symbol.dispose]: cancel };
  }
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (let due = this.#timer; due !== undefined && due.at <= end; due = this.#timer) {
      this.#timer = undefined;
      this.#now = Math.max(this.#now, due.at);
      due.action();
      await nextTurn();
    }
    this.#now = end;
  }
}

interface Cluster {
  readonly clock: SlowClock;
  readonly heartbeats: Heartbeats;
  readonly lost: NodeId[];
  /** Which process of its agent holds a node's stream open; the first one of all at first. */
  readonly runs: Map<NodeId, string>;
  /** Lets time pass in which only these nodes are heard. */
  onlyHear(nodes: readonly NodeId[], ms: number): Promise<void>;
}

const nodes = (count: number): readonly NodeId[] =>
  Array.from({ length: count }, (_, at) => `n${at}` as NodeId);

function cluster(count: number, isNewLeader = false): Cluster {
  const clock = new SlowClock();
  const lost: NodeId[] = [];
  const runs = new Map(nodes(count).map((node) => [node, 'first']));
  const heartbeats = new Heartbeats({
    clock,
    graceMs: 3_000,
    agentRun: (node): string | undefined => runs.get(node),
    onLost: (found): void => void lost.push(...found),
  });
  if (isNewLeader) heartbeats.begin(nodes(count));
  else for (const node of nodes(count)) heartbeats.beat(node);
  const onlyHear: Cluster['onlyHear'] = async (heard, ms) => {
    for (let passed = 0; passed < ms; passed += 100) {
      await clock.pass(100);
      for (const node of heard) heartbeats.beat(node);
    }
  };
  return { clock, heartbeats, lost, runs, onlyHear };
}

test.each([
  [3, 2],
  [6, 2],
  [25, 6],
])(
  'of %i nodes, %i that fall silent at once are lost after the grace period',
  async (all, silent) => {
    const { lost, onlyHear } = cluster(all);
    await onlyHear(nodes(all).slice(silent), 2_900);
    expect(lost).toEqual([]);
    await onlyHear(nodes(all).slice(silent), 300);
    expect(lost.toSorted()).toEqual(nodes(silent).toSorted());
  },
);

test('when more fall silent at once they get five grace periods, and none that is heard meanwhile is lost', async () => {
  const { lost, onlyHear, heartbeats } = cluster(25);
  await onlyHear(nodes(2), 13_000);
  expect(lost).toEqual([]);
  for (const node of nodes(20)) heartbeats.beat(node);
  await onlyHear(nodes(20), 2_500);
  expect(lost).toEqual(nodes(25).slice(20));
});

test('one after the other they are many too', async () => {
  const { lost, onlyHear } = cluster(12);
  for (let silent = 1; silent <= 8; silent++) await onlyHear(nodes(12).slice(silent), 1_000);
  // The first were lost before the rest was known to follow.
  expect(lost.length).toBeLessThanOrEqual(3);
  await onlyHear(nodes(12).slice(8), 16_000);
  expect(lost.length).toBe(8);
});

test('a node that comes back at once after it was lost with an open stream gets more time for five minutes', async () => {
  const { lost, onlyHear, heartbeats, runs } = cluster(3);
  const [slow, ...others] = nodes(3) as [NodeId, ...NodeId[]];
  await onlyHear(others, 3_200);
  expect(lost).toEqual([slow]);
  heartbeats.beat(slow);
  await onlyHear(others, 14_000);
  expect(lost).toEqual([slow]);
  await onlyHear(others, 1_500);
  expect(lost).toEqual([slow, slow]);
  // It comes back late: it may have been started anew.
  await onlyHear(others, 16_000);
  heartbeats.beat(slow);
  await onlyHear(nodes(3), 300_000);
  runs.delete(slow);
  await onlyHear(others, 3_200);
  expect(lost.length).toBe(3);
  // Its stream had ended: its agent was gone, and the next one is no slower than others.
  heartbeats.beat(slow);
  await onlyHear(others, 3_200);
  expect(lost.length).toBe(4);
});

test('a node whose agent was started anew gets no more time: it was really lost, with its stream open', async () => {
  const { lost, onlyHear, heartbeats, runs } = cluster(3);
  const [slow, ...others] = nodes(3) as [NodeId, ...NodeId[]];
  await onlyHear(others, 3_200);
  runs.set(slow, 'second');
  heartbeats.beat(slow);
  await onlyHear(others, 3_200);
  expect(lost).toEqual([slow, slow]);
});

test('nodes that a new leader has not heard yet are not lost while others arrive one by one', async () => {
  const { lost, onlyHear } = cluster(40, true);
  for (let arrived = 1; arrived < 40; arrived++) await onlyHear(nodes(arrived), 500);
  expect(lost).toEqual([]);
  await onlyHear(nodes(39), 1_500);
  expect(lost).toEqual(nodes(40).slice(39));
});

test('where all arrive at once, a new leader gives the one that does not no more than the grace period', async () => {
  const { lost, onlyHear } = cluster(6, true);
  await onlyHear([], 600);
  await onlyHear(nodes(5), 2_300);
  expect(lost).toEqual([]);
  await onlyHear(nodes(5), 200);
  expect(lost).toEqual(nodes(6).slice(5));
});

test('arrivals hold up a loss for a minute at most', async () => {
  const { lost, onlyHear } = cluster(80, true);
  for (let arrived = 1; arrived < 66; arrived++) await onlyHear(nodes(arrived), 900);
  expect(lost).toEqual([]);
  await onlyHear(nodes(66), 900);
  await onlyHear(nodes(67), 900);
  expect(lost).toEqual(nodes(80).slice(67));
});

test('the silence of a host that was gone before a new leader began is counted from when it was heard', async () => {
  const { lost, onlyHear, heartbeats, clock } = cluster(6, true);
  await onlyHear([], 400);
  await onlyHear(nodes(5), 100);
  heartbeats.wasLastHeard(nodes(6)[5] as NodeId, clock.monotonicMs() - 1_800);
  heartbeats.wasLastHeard(nodes(6)[0] as NodeId, clock.monotonicMs() - 1_800);
  await onlyHear(nodes(5), 1_100);
  expect(lost).toEqual([]);
  await onlyHear(nodes(5), 200);
  // Who was heard by this leader is not judged by what was before.
  expect(lost).toEqual(nodes(6).slice(5));
});
