import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ConfChange, decodeConfChange, encodeConfChange } from './conf-change-codec.ts';

const single = fc.record({
  type: fc.constantFrom('addNode', 'addLearner', 'removeNode', 'updateNode'),
  nodeId: fc.maxSafeNat(),
});
const change: fc.Arbitrary<ConfChange> = fc.record({
  v1: fc.constant(false),
  transition: fc.constantFrom('auto', 'implicit', 'explicit'),
  changes: fc.array(single, { maxLength: 5 }),
  context: fc.uint8Array({ maxLength: 20 }),
});

test('decodes what was encoded, also from the middle of a buffer', () => {
  fc.assert(
    fc.property(change, (given) => {
      const { type, data } = encodeConfChange(given);
      const shifted = new Uint8Array((data?.length ?? 0) + 3);
      shifted.set(data ?? [], 3);
      const entry = { index: 1, term: 1, type, data: data && shifted.subarray(3) };
      const { context, ...decoded } = decodeConfChange(entry);
      const { context: givenContext, ...expected } = given;
      expect(decoded).toEqual(expected);
      expect([...(context ?? [])]).toEqual([...(givenContext ?? [])]);
    }),
  );
});

test('leaving a joint configuration takes no bytes, so it is never too large', () => {
  expect(encodeConfChange({ changes: [] })).toEqual({ type: 'EntryConfChangeV2', data: null });
});

test('damaged bytes are refused', () => {
  const { type, data } = encodeConfChange({ changes: [{ type: 'addNode', nodeId: 7 }] });
  const entry = (bytes: Uint8Array) => ({ index: 1, term: 1, type, data: bytes }) as const;
  const whole = data ?? new Uint8Array(0);
  for (const length of [1, 5, whole.length - 1]) {
    expect(() => decodeConfChange(entry(whole.subarray(0, length)))).toThrow(
      expect.objectContaining({ code: 'ErrCorrupt' }),
    );
  }
  const unknown = whole.slice();
  unknown[3] = 9;
  expect(() => decodeConfChange(entry(unknown))).toThrow(
    expect.objectContaining({ code: 'ErrCorrupt' }),
  );
});
