import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  blockSize,
  formatAddress,
  formatBlock,
  overlaps,
  parseAddress,
  parseBlock,
} from './ipv4.ts';
import { allocateSubnets } from './subnet.ts';
import { allocateVni } from './vni.ts';

const address = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const block = fc.record({ first: address, bits: fc.integer({ min: 8, max: 30 }) }).map((wish) => {
  const parsed = parseBlock(`${formatAddress(wish.first)}/${wish.bits}`);
  if (!parsed) throw new Error('a block that cannot be parsed');
  return parsed;
});

test('addresses and blocks survive being written and read', () => {
  fc.assert(fc.property(address, (value) => parseAddress(formatAddress(value)) === value));
  fc.assert(
    fc.property(block, (value) => {
      expect(parseBlock(formatBlock(value))).toEqual(value);
    }),
  );
});

test.each(['10.0.0', '10.0.0.256', '10.0.0.1/33', 'x', '', '10.0.0.-1', '1e1.0.0.0'])(
  '%j is no address',
  (text) => {
    expect(parseAddress(text)).toBeUndefined();
    expect(parseBlock(text)).toBeUndefined();
  },
);

test('two blocks overlap when they share an address', () => {
  fc.assert(
    fc.property(block, block, (left, right) => {
      const end = (value: typeof left): number => value.first + blockSize(value);
      const shared = Math.max(left.first, right.first) < Math.min(end(left), end(right));
      expect(overlaps(left, right)).toBe(shared);
      expect(overlaps(right, left)).toBe(shared);
    }),
  );
});

test('an allocated subnet overlaps nothing that is taken', () => {
  fc.assert(
    fc.property(fc.array(block, { maxLength: 30 }), (taken) => {
      const answer = allocateSubnets({ Name: 'n' }, undefined, taken);
      if ('error' in answer) return;
      for (const { subnet } of answer.subnets) {
        const given = parseBlock(subnet);
        expect(given && taken.some((other) => overlaps(other, given))).toBe(false);
      }
    }),
  );
});

test('identifiers start at 4096 and fill the gaps', () => {
  expect(allocateVni(new Set())).toBe(4096);
  expect(allocateVni(new Set([4096, 4098]))).toBe(4097);
});
