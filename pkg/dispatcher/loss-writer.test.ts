import { beforeEach, expect, test } from 'vitest';
import { silentLogger } from '../io/index.ts';
import type { InstantMs, NodeId } from '../model/index.ts';
import type { Committed } from '../store/index.ts';
import { settle, VirtualClock } from './bench.ts';
import { LossWriter } from './loss-writer.ts';

const NODE = 'a' as NodeId;

interface PendingWrite {
  resolve(): void;
  reject(error: Error): void;
}

/** Writes that wait until the test lets them go on. */
class SlowStore {
  readonly pending: PendingWrite[] = [];
  async update<T>(): Promise<Committed<T>> {
    await new Promise<void>((resolve, reject) => this.pending.push({ resolve, reject }));
    return {} as Committed<T>;
  }
  now(): InstantMs {
    return 0 as InstantMs;
  }
}

let store: SlowStore;
let clock: VirtualClock;
let losses: LossWriter;
let said: string[];

beforeEach(() => {
  store = new SlowStore();
  clock = new VirtualClock();
  losses = new LossWriter({ store, clock, log: silentLogger });
  said = [];
});

function arrive(work: () => Promise<unknown> = async () => undefined): void {
  const write = async (): Promise<void> => {
    said.push('work');
    await work();
  };
  void losses.writeArrival(NODE, write).then(() => said.push('here'));
}

test('an arrival waits for the loss of the node that is under way, and is written after it', async () => {
  losses.write([NODE]);
  arrive();
  await settle();
  expect(said).toEqual([]);
  store.pending[0]?.resolve();
  await settle();
  expect(said).toEqual(['work', 'here']);
});

test('an arrival is written again when the node is lost while it is under way', async () => {
  arrive(async () => await store.update());
  await settle();
  losses.write([NODE]);
  store.pending[0]?.resolve();
  await settle();
  expect(said).toEqual(['work']);
  store.pending[1]?.resolve();
  await settle();
  store.pending[2]?.resolve();
  await settle();
  expect(said).toEqual(['work', 'work', 'here']);
});

test('a loss that could not be written is written later; the arrival waits', async () => {
  losses.write([NODE]);
  arrive();
  store.pending[0]?.reject(new Error('busy'));
  await clock.advance(400);
  expect([store.pending.length, said]).toEqual([1, []]);
  await clock.advance(100);
  store.pending[1]?.resolve();
  await settle();
  expect(said).toEqual(['work', 'here']);
});

test('the losses of one leadership are not written in the next', async () => {
  losses.write([NODE]);
  store.pending[0]?.reject(new Error('no leader'));
  await settle();
  losses.stop();
  arrive();
  await clock.advance(1_000);
  expect([store.pending.length, said]).toEqual([1, ['work', 'here']]);
});
