/** Layers are compressed with gzip (RFC 1952), zstd (RFC 8878) or not at all; the first bytes say which. */
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';

export type Compression = 'none' | 'gzip' | 'zstd';

export function compressionOf(first: Uint8Array): Compression {
  if (first[0] === 0x1f && first[1] === 0x8b) return 'gzip';
  if (first[0] === 0x28 && first[1] === 0xb5 && first[2] === 0x2f && first[3] === 0xfd)
    return 'zstd';
  return 'none';
}

/** The plain bytes of a stream. */
export async function* decompress(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const iterator = source[Symbol.asyncIterator]();
  const { first, rest } = await peek(iterator);
  switch (compressionOf(first)) {
    case 'none':
      yield* rest();
      return;
    case 'gzip':
      yield* gunzip(rest());
      return;
    case 'zstd':
      yield* unzstd(rest());
      return;
  }
}

async function peek(
  iterator: AsyncIterator<Uint8Array>,
): Promise<{ first: Buffer; rest: () => AsyncGenerator<Buffer> }> {
  let first = Buffer.alloc(0);
  while (first.length < 4) {
    const next = await iterator.next();
    if (next.done) break;
    first = Buffer.concat([first, next.value]);
  }
  async function* rest(): AsyncGenerator<Buffer> {
    if (first.length > 0) yield first;
    for (;;) {
      const next = await iterator.next();
      if (next.done) return;
      yield Buffer.from(next.value.buffer, next.value.byteOffset, next.value.length);
    }
  }
  return { first, rest };
}

async function* gunzip(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const input = Readable.from(source, { objectMode: false });
  const output = createGunzip();
  input.once('error', (error) => output.destroy(error));
  input.pipe(output);
  try {
    yield* output;
  } finally {
    input.destroy();
    output.destroy();
  }
}

async function* unzstd(source: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  let ready: Buffer[] = [];
  const stream = new Decompress((chunk) => ready.push(Buffer.from(chunk)));
  const drain = function* (): Generator<Buffer> {
    const chunks = ready;
    ready = [];
    yield* chunks;
  };
  for await (const chunk of source) {
    stream.push(new Uint8Array(chunk));
    yield* drain();
  }
  stream.push(new Uint8Array(), true);
  yield* drain();
}
