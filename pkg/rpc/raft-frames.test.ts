import { describe, expect, it } from 'vitest';
import { decodeSender, EMPTY_FRAME, encodeSender, FrameReader, frameHead } from './raft-frames.ts';

function framed(...texts: string[]): Buffer {
  return Buffer.concat(texts.flatMap((text) => [frameHead(Buffer.from(text)), Buffer.from(text)]));
}

function read(...chunks: Buffer[]): string[] {
  const found: string[] = [];
  const reader = new FrameReader((payload) => found.push(Buffer.from(payload).toString()));
  for (const chunk of chunks) reader.push(chunk);
  return found;
}

describe('raft frames', () => {
  it('are found however the bytes were cut', () => {
    const texts = ['first', '', 'x'.repeat(300), 'last'];
    const bytes = framed(...texts);
    for (let at = 0; at <= bytes.length; at += 1) {
      expect(read(bytes.subarray(0, at), bytes.subarray(at))).toEqual(texts);
    }
    expect(read(...Array.from(bytes, (byte) => Buffer.from([byte])))).toEqual(texts);
  });

  it('are given out only when complete', () => {
    expect(read(framed('whole', 'half').subarray(0, -1))).toEqual(['whole']);
  });

  it('ask for a sign of life when empty', () => {
    expect(read(Buffer.from(EMPTY_FRAME))).toEqual(['']);
  });

  it('refuse a length that nobody sends', () => {
    expect(() => read(Buffer.from([0, 0, 0, 0xff]))).toThrow(RangeError);
  });

  it('name their sender', () => {
    expect(decodeSender(encodeSender(2 ** 53 - 1))).toBe(2 ** 53 - 1);
    expect(() => decodeSender(Buffer.alloc(8, 0xff))).toThrow(RangeError);
    expect(() => decodeSender(Buffer.from('short'))).toThrow(RangeError);
  });
});
