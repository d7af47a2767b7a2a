import { expect, test } from 'vitest';
import type { Clock, Timer } from '../io/index.ts';
import { ClusterError, type InstantMs } from '../model/index.ts';
import { Reads } from './reads.ts';

/** A leader that is asked, and answers when told to. */
class Fixture {
  now = 0;
  applied = 0;
  readonly asked: Uint8Array[] = [];
  #drawn = 0;
  readonly reads = new Reads({
    clock: this.#clock(),
    random: {
      float: (): number => 0,
      bytes: (count): Uint8Array => new Uint8Array(count).fill(this.#drawn++),
    },
    appliedIndex: (): number => this.applied,
    requestIndex: (context): void => void this.asked.push(context),
    noLeader: (): ClusterError => new ClusterError('unavailable', 'no leader'),
    quorumLost: (): boolean => false,
  });

  /** Whether the read has been answered. */
  read(): { answered: boolean } {
    const state = { answered: false };
    void this.reads.wait(60_000, undefined).then(() => {
      state.answered = true;
    });
    return state;
  }

  answer(round: number, index: number): Promise<void> {
    this.reads.confirmed(this.asked[round] as Uint8Array, index);
    return new Promise((resolve) => void setImmediate(resolve));
  }

  #clock(): Clock {
    return {
      now: (): InstantMs => this.now as InstantMs,
      monotonicMs: (): number => this.now,
      after: (): Timer => ({ cancel: () => undefined, [Symbol.dispose]: () => undefined }),
    };
  }
}

test('all that wait share one round, and who comes later needs the next', async () => {
  const fixture = new Fixture();
  const first = fixture.read();
  const [second, third] = [fixture.read(), fixture.read()];
  expect(fixture.asked).toHaveLength(1);
  await fixture.answer(0, 0);
  expect(first.answered).toBe(true);
  expect(second.answered).toBe(false);
  expect(fixture.asked).toHaveLength(2);
  await fixture.answer(1, 0);
  expect([second.answered, third.answered]).toEqual([true, true]);
});

test('a read waits until what it must see is applied', async () => {
  const fixture = new Fixture();
  const read = fixture.read();
  await fixture.answer(0, 7);
  expect(read.answered).toBe(false);
  fixture.applied = 7;
  fixture.reads.advance();
  await new Promise(setImmediate);
  expect(read.answered).toBe(true);
});

test('etcd 20418: a repeated question has a new id, and the answer to the old one counts for nobody', async () => {
  const fixture = new Fixture();
  const read = fixture.read();
  fixture.now = 10_000;
  fixture.reads.tick();
  expect(fixture.asked).toHaveLength(2);
  expect(fixture.asked[1]).not.toEqual(fixture.asked[0]);
  // The old leader was paused and answers now, from what it knew before the pause.
  await fixture.answer(0, 0);
  expect(read.answered).toBe(false);
  await fixture.answer(1, 0);
  expect(read.answered).toBe(true);
});

test('when the leader changes the round begins again at the new one', async () => {
  const fixture = new Fixture();
  const read = fixture.read();
  fixture.reads.restart();
  await fixture.answer(0, 0);
  expect(read.answered).toBe(false);
  await fixture.answer(1, 0);
  expect(read.answered).toBe(true);
});
