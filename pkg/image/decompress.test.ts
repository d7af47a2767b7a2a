import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { decompress } from './decompress.ts';

const PLAIN = 'hello zstd '.repeat(8);
/** `zstd -c` of the text above. */
const ZSTD = Buffer.from('KLUv/QRYlQAAWGhlbGxvIHpzdGQgAQBqtHgB35xpNw==', 'base64');

async function plainOf(bytes: Uint8Array, piece: number): Promise<string> {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
  }
  const parts: Buffer[] = [];
  for await (const part of decompress(pieces())) parts.push(part);
  return Buffer.concat(parts).toString();
}

test.each([
  ['plain', Buffer.from(PLAIN)],
  ['gzip', gzipSync(PLAIN)],
  ['gzip in two members', Buffer.concat([gzipSync(PLAIN.slice(0, 9)), gzipSync(PLAIN.slice(9))])],
  ['zstd', ZSTD],
])('%s comes out as it went in, whatever the pieces', async (_name, bytes) => {
  for (const piece of [1, 3, 1000]) expect(await plainOf(bytes, piece)).toBe(PLAIN);
});

test('damage is refused', async () => {
  await expect(plainOf(gzipSync(PLAIN).subarray(0, 20), 1000)).rejects.toThrow();
  await expect(plainOf(ZSTD.subarray(0, 20), 1000)).rejects.toThrow();
  expect(await plainOf(Buffer.alloc(0), 1)).toBe('');
});
