import {
  formatIpAddress,
  type IpBlock,
  ipBlockSize,
  ipBlocksOverlap,
  isInIpBlock,
  must,
  parseIpAddress,
  parseIpBlock,
} from '../model/index.ts';

/** Where local networks without a wish get their subnet from, in this order. */
const SUBNET_POOL: readonly string[] = [
  ...Array.from({ length: 12 }, (_, index) => `172.${19 + index}.0.0/16`),
  ...Array.from({ length: 16 }, (_, index) => `192.168.${index * 16}.0/20`),
];

/** Likewise those of IPv6: of a unique local prefix (RFC 4193), the same on every host. */
const SUBNET_POOL6: readonly string[] = Array.from(
  { length: 256 },
  (_, index) => `fd6d:7573:7465:${(0x1000 + index).toString(16)}::/64`,
);

/** The first pool subnet that overlaps none of `taken`; undefined when all do. */
export function pickSubnet(taken: readonly string[]): string | undefined {
  return firstFree(SUBNET_POOL, taken);
}

/** Likewise, of IPv6. */
export function pickSubnet6(taken: readonly string[]): string | undefined {
  return firstFree(SUBNET_POOL6, taken);
}

function firstFree(pool: readonly string[], taken: readonly string[]): string | undefined {
  return pool.find((subnet) => !taken.some((other) => overlaps(subnet, other)));
}

export function overlaps(left: string, right: string): boolean {
  return ipBlocksOverlap(blockOf(left), blockOf(right));
}

/** False also for an address of the other family. */
export function contains(subnet: string, address: string): boolean {
  return isInIpBlock(must(parseIpAddress(address), `address ${address}`), blockOf(subnet));
}

/**
 * The lowest usable address of the subnet that is not taken, within `range` when given; the first and the last one,
 * which IPv4 uses for network and broadcast, are never given.
 */
export function pickAddress(
  subnet: string,
  taken: ReadonlySet<string>,
  range = subnet,
): string | undefined {
  const [whole, part] = [blockOf(subnet), blockOf(range)];
  const { family, first } = whole;
  const end = lower(part.first + ipBlockSize(part), first + ipBlockSize(whole) - 1n);
  for (let value = part.first > first ? part.first : first + 1n; value < end; value++) {
    const address = formatIpAddress({ family, value });
    if (!taken.has(address)) return address;
  }
  return undefined;
}

function lower(left: bigint, right: bigint): bigint {
  return left < right ? left : right;
}

function blockOf(subnet: string): IpBlock {
  return must(parseIpBlock(subnet), `subnet ${subnet}`);
}
