import { isIPv6 } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  formatIpAddress,
  formatIpBlock,
  type IpAddress,
  type IpBlock,
  ipBlockSize,
  ipBlocksOverlap,
  isInIpBlock,
  parseIpAddress,
  parseIpBlock,
  parseIpv4,
} from './ip-address.ts';

const address: fc.Arbitrary<IpAddress> = fc.oneof(
  fc.record({ family: fc.constant(4 as const), value: fc.bigInt(0n, 2n ** 32n - 1n) }),
  fc.record({ family: fc.constant(6 as const), value: fc.bigInt(0n, 2n ** 128n - 1n) }),
  // With runs of zeros, as people write them.
  fc
    .array(fc.constantFrom(0n, 0n, 1n, 0xfd00n), { minLength: 8, maxLength: 8 })
    .map((groups): IpAddress => {
      return { family: 6, value: groups.reduce<bigint>((sum, group) => (sum << 16n) | group, 0n) };
    }),
);
const block: fc.Arbitrary<IpBlock> = fc
  .tuple(address, fc.integer({ min: 8, max: 30 }))
  .map(([wish, bits]) => {
    const parsed = parseIpBlock(`${formatIpAddress(wish)}/${bits}`);
    if (!parsed) throw new Error('a block that cannot be parsed');
    return parsed;
  });

test('addresses and blocks survive being written and read', () => {
  fc.assert(
    fc.property(address, (value) => {
      expect(parseIpAddress(formatIpAddress(value))).toEqual(value);
    }),
  );
  fc.assert(
    fc.property(block, (value) => {
      expect(parseIpBlock(formatIpBlock(value))).toEqual(value);
    }),
  );
});

test.each([
  ['10.0.1.5', 0x0a000105],
  ['10.0.1.5/24', 0x0a000105],
  ['255.255.255.255', 0xffffffff],
  ['0.0.0.0/0', 0],
  ['10.0.1', undefined],
  ['10.0.1.', undefined],
  ['10..1.5', undefined],
  ['.10.0.1', undefined],
  ['10.0.1.5.6', undefined],
  ['10.0.1.256', undefined],
  ['10.0.1.0005', undefined],
  ['10.0.1.5 ', undefined],
  ['10.0.1.-5', undefined],
  ['10.0.1.x', undefined],
  ['fd00::5', undefined],
  ['::10.0.1.5', undefined],
  ['', undefined],
])('%j is the IPv4 address %j', (text, value) => {
  expect(parseIpv4(text)).toBe(value);
});

test('IPv6 addresses are written as everybody else writes them', () => {
  const whatUrlSays = (text: string): string => new URL(`http://[${text}]/`).hostname.slice(1, -1);
  fc.assert(
    fc.property(address, (value) => {
      if (value.family === 4) return;
      const text = formatIpAddress(value);
      expect(isIPv6(text)).toBe(true);
      expect(text).toBe(whatUrlSays(text));
    }),
  );
  expect(formatIpBlock({ family: 6, first: 0n, bits: 0 })).toBe('::/0');
});

test.each([
  '10.0.0',
  '10.0.0.256',
  '10.0.0.1/33',
  'x',
  '',
  '10.0.0.-1',
  '1e1.0.0.0',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3:4:5:6:7:8::',
  '1::2::3',
  ':::',
  'fd00::12345',
  '::ffff:10.0.0.1',
  'fd00::/129',
  'fd00::/64/64',
])('%j is no block', (text) => {
  expect(parseIpBlock(text.includes('/') ? text : `${text}/8`)).toBeUndefined();
});

test('two blocks overlap when they share an address', () => {
  const end = (value: IpBlock): bigint => value.first + ipBlockSize(value);
  fc.assert(
    fc.property(block, block, (left, right) => {
      const apart = left.first >= end(right) || right.first >= end(left);
      const shared = left.family === right.family && !apart;
      expect(ipBlocksOverlap(left, right)).toBe(shared);
      expect(ipBlocksOverlap(right, left)).toBe(shared);
      expect(isInIpBlock({ family: left.family, value: left.first }, left)).toBe(true);
      expect(isInIpBlock({ family: left.family, value: end(left) }, left)).toBe(false);
    }),
  );
});
