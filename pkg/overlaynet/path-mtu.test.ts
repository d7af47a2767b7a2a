import { expect, test } from 'vitest';
import type { Namespace } from './kernel/kernel.ts';
import { probePathMtu } from './path-mtu.ts';

/** A path that loses whatever is larger than `mtu`, and says so or not. */
function path(mtu: number, says: string): { namespace: Pick<Namespace, 'ping'>; asked: number[] } {
  const asked: number[] = [];
  const ping = (_: string, size = 0): ReturnType<Namespace['ping']> => {
    asked.push(size);
    const answer = size <= mtu ? 'answered' : says;
    return { answer: () => answer, [Symbol.dispose]: () => undefined };
  };
  return { namespace: { ping }, asked };
}

const probe = (namespace: Pick<Namespace, 'ping'>): Promise<number | undefined> =>
  probePathMtu(namespace, '192.0.2.2', 9000, new AbortController().signal);

test('a path as wide as the link is known by one answer', async () => {
  const { namespace, asked } = path(9000, 'waiting');
  expect(await probe(namespace)).toBe(9000);
  expect(asked).toHaveLength(2);
});

test('a narrower one is found to the byte where the network says what is too large', async () => {
  for (const mtu of [577, 1280, 1400, 1499, 8999]) {
    expect(await probe(path(mtu, 'EMSGSIZE').namespace)).toBe(mtu);
  }
});

test('nobody knows the path to a host that answers nothing, and nothing is asked after the end', async () => {
  expect(await probe(path(0, 'EHOSTUNREACH').namespace)).toBeUndefined();
  const { namespace, asked } = path(9000, 'waiting');
  const over = AbortSignal.abort();
  await expect(probePathMtu(namespace, '192.0.2.2', 9000, over)).rejects.toThrow();
  expect(asked).toEqual([]);
});
