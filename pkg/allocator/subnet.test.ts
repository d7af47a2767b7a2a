import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Cluster,
  formatIpBlock,
  type IpBlock,
  ipBlocksOverlap,
  parseIpBlock,
} from '../model/index.ts';
import { allocateSubnets } from './subnet.ts';
import { allocateVni } from './vni.ts';

const CLUSTER = { id: 'p7d8k2', addressPools: [] as string[] } as unknown as Cluster;

function subnetsOf(...parameters: Parameters<typeof allocateSubnets>): readonly string[] {
  const answer = allocateSubnets(...parameters);
  if ('error' in answer) throw new Error(answer.error);
  return answer.subnets.map(({ subnet }) => subnet);
}

const block = (text: string): IpBlock => {
  const parsed = parseIpBlock(text);
  if (!parsed) throw new Error(text);
  return parsed;
};

test('an allocated subnet overlaps nothing that is taken', () => {
  const ipv4 = fc
    .tuple(fc.bigInt(0n, 2n ** 32n - 1n), fc.integer({ min: 8, max: 30 }))
    .map(([value, bits]) => block(formatIpBlock({ family: 4, first: value, bits })));
  const spec = { Name: 'n', EnableIPv6: true };
  const [, unique = ''] = subnetsOf(spec, CLUSTER, []);
  const { first } = block(unique);
  const ipv6 = fc
    .tuple(fc.bigInt(0n, 2n ** 81n), fc.integer({ min: 52, max: 80 }))
    .map(([offset, bits]) => block(formatIpBlock({ family: 6, first: first + offset, bits })));
  fc.assert(
    fc.property(fc.array(fc.oneof(ipv4, ipv6), { maxLength: 30 }), (taken) => {
      const answer = allocateSubnets(spec, CLUSTER, taken);
      if ('error' in answer) return;
      expect(answer.subnets).toHaveLength(2);
      for (const { subnet } of answer.subnets) {
        expect(taken.some((other) => ipBlocksOverlap(other, block(subnet)))).toBe(false);
      }
    }),
  );
});

test('without a wish IPv6 networks get blocks of a unique local prefix that follows from the cluster', () => {
  const spec = { Name: 'n', EnableIPv6: true };
  const first = subnetsOf(spec, CLUSTER, []);
  expect(first).toEqual(subnetsOf(spec, CLUSTER, []));
  expect(first[1]).toMatch(/^fd[0-9a-f:]+::\/64$/);
  const next = subnetsOf(spec, CLUSTER, first.map(block));
  expect(next[1]).not.toBe(first[1]);
  const prefix = (subnet = ''): bigint => block(subnet).first >> 80n;
  expect(prefix(next[1])).toBe(prefix(first[1]));
  const other = subnetsOf(spec, { ...CLUSTER, id: 'q' as Cluster['id'] }, []);
  expect(prefix(other[1])).not.toBe(prefix(first[1]));
});

test('each family comes from its wish or from its pool', () => {
  const wish = (...subnets: readonly string[]): Parameters<typeof allocateSubnets>[0] => ({
    Name: 'n',
    EnableIPv6: true,
    IPAM: { Config: subnets.map((Subnet) => ({ Subnet })) },
  });
  expect(subnetsOf(wish('fd00:5::/64'), CLUSTER, [])).toEqual(['10.0.0.0/20', 'fd00:5::/64']);
  expect(subnetsOf(wish('fd00:5::/64', '10.9.0.0/24'), CLUSTER, [])).toEqual([
    '10.9.0.0/24',
    'fd00:5::/64',
  ]);
  expect(subnetsOf(wish('10.9.0.0/24'), CLUSTER, [])[1]).toMatch(/^fd/);
  const pools = { ...CLUSTER, addressPools: ['10.4.0.0/16', '2001:db8:7::/48'] };
  expect(subnetsOf(wish(), pools, [block('2001:db8:7::/64')])).toEqual([
    '10.4.0.0/20',
    '2001:db8:7:1::/64',
  ]);
  expect(subnetsOf(wish(), { ...CLUSTER, addressPools: ['fd00:7::/48'] }, [])).toEqual([
    '10.0.0.0/20',
    'fd00:7::/64',
  ]);
  expect(allocateSubnets(wish('fd00:5::/64'), CLUSTER, [block('fd00::/16')])).toEqual({
    error: 'subnet fd00:5::/64 overlaps with an existing network',
  });
});

test('identifiers start at 4096 and fill the gaps', () => {
  expect(allocateVni(new Set())).toBe(4096);
  expect(allocateVni(new Set([4096, 4098]))).toBe(4097);
});
