import { expect, test } from 'vitest';
import { type Clock, silentLogger, type Timer } from '../io/index.ts';
import { Outbox, type OutboxOptions } from './outbox.ts';

const peer = { raftId: 2, address: 'm2:1' };
const confState = {
  voters: [1, 2],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};
const snapshot = { index: 5, term: 1, confState, data: new Uint8Array(0) };

/** What became of one snapshot, with a transport that behaves like `send`; `late` lets the deadline pass. */
async function reported(send: () => Promise<void>, late: boolean): Promise<readonly boolean[]> {
  const timers: (() => void)[] = [];
  const reports: boolean[] = [];
  const clock: Pick<Clock, 'after'> = {
    after: (_, action): Timer => {
      timers.push(action);
      return { cancel: () => undefined, [Symbol.dispose]: () => undefined };
    },
  };
  const outbox = new Outbox({
    clusterId: 'c',
    transport: { sendSnapshot: send },
    peers: { get: () => peer },
    snapshots: { chunks: async function* (): AsyncGenerator<Uint8Array> {} },
    clock,
    logger: silentLogger,
    onUnreachable: () => undefined,
    onSnapshotSent: (_: number, ok: boolean) => reports.push(ok),
  } as unknown as OutboxOptions);
  outbox.add({ type: 'MsgSnap', from: 1, to: 2, term: 1, snapshot });
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
  if (late) for (const timer of timers) timer();
  await new Promise(setImmediate);
  return reports;
}

test('every snapshot is reported, also one that is never delivered, or its receiver would wait for ever', async () => {
  expect(await reported(() => Promise.resolve(), false)).toEqual([true]);
  expect(await reported(() => Promise.reject(new Error('reset')), false)).toEqual([false]);
  expect(await reported(() => new Promise(() => undefined), true)).toEqual([false]);
});
