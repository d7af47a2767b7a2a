import { expect, test } from 'vitest';
import { until } from './cluster.ts';
import { MemoryNetwork } from './memory-network.ts';

const NEVER = new Promise<never>(() => undefined);

/** A member whose snapshot goes as far as its first chunk: its disk says nothing more. */
async function* hanging(): AsyncGenerator<Uint8Array> {
  yield Uint8Array.of(1);
  await NEVER;
}

test('a snapshot whose sender is killed breaks at its receiver too, for another to come', async () => {
  const network = new MemoryNetwork();
  let begun = false;
  let ended: unknown;
  network.transport(2).listen({
    receive: () => undefined,
    unreachable: () => undefined,
    nodeOf: () => undefined,
    receiveSnapshot: async (_from, chunks) => {
      try {
        for await (const _ of chunks) begun = true;
      } catch (error) {
        ended = error;
        throw error;
      }
    },
  });
  const sent = network.transport(1).sendSnapshot({ raftId: 2, address: 'm2:1' }, hanging());
  await until(() => begun);
  network.kill(1);
  await expect(sent).rejects.toThrow('member 1 is unreachable');
  await until(() => ended !== undefined);
  expect(ended).toMatchObject({ message: 'member 1 is unreachable' });
});
