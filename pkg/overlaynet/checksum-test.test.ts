import { expect, test } from 'vitest';
import { type ChecksumVerdict, testChecksums } from './checksum-test.ts';
import type { Ping } from './kernel/kernel.ts';

/** A peer that hears pings or not, and TCP by whether checksums are left to the card. */
async function verdict(heard: {
  readonly ping: boolean;
  readonly offloaded: boolean;
  readonly complete: boolean;
}): Promise<{ verdict: ChecksumVerdict; switched: boolean[] }> {
  const switched: boolean[] = [];
  const question = (answered: boolean): Ping => ({
    answer: () => (answered ? 'answered' : 'EHOSTUNREACH'),
    [Symbol.dispose]: () => undefined,
  });
  const namespace = {
    ping: (): Ping => question(heard.ping),
    connectTo: (): Ping => question(switched.at(-1) === false ? heard.complete : heard.offloaded),
  };
  const found = await testChecksums(
    namespace,
    '10.0.0.202',
    (on) => switched.push(on),
    new AbortController().signal,
  );
  return { verdict: found, switched };
}

test('offload goes off only where TCP arrives without it and not with it', async () => {
  expect(await verdict({ ping: true, offloaded: true, complete: true })).toEqual({
    verdict: 'kept',
    switched: [],
  });
  expect(await verdict({ ping: true, offloaded: false, complete: true })).toEqual({
    verdict: 'lost',
    switched: [false],
  });
  expect(await verdict({ ping: true, offloaded: false, complete: false })).toEqual({
    verdict: 'unclear',
    switched: [false, true],
  });
  expect(await verdict({ ping: false, offloaded: false, complete: true })).toEqual({
    verdict: undefined,
    switched: [],
  });
});
