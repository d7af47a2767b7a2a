import { decodeIpv4, encodeIpv4, parseCidr } from 'vxlan-netlink';

/** Where local networks without a wish get their subnet from, in this order. */
const SUBNET_POOL: readonly string[] = [
  ...Array.from({ length: 12 }, (_, index) => `172.${19 + index}.0.0/16`),
  ...Array.from({ length: 16 }, (_, index) => `192.168.${index * 16}.0/20`),
];

interface Range {
  readonly first: number;
  readonly last: number;
}

/** The first pool subnet that overlaps none of `taken`; undefined when all do. */
export function pickSubnet(taken: readonly string[]): string | undefined {
  return SUBNET_POOL.find((subnet) => !taken.some((other) => overlaps(subnet, other)));
}

export function overlaps(left: string, right: string): boolean {
  const [a, b] = [rangeOf(left), rangeOf(right)];
  return a.first <= b.last && b.first <= a.last;
}

export function contains(subnet: string, address: string): boolean {
  const { first, last } = rangeOf(subnet);
  const number = encodeIpv4(address).readUInt32BE(0);
  return number >= first && number <= last;
}

/**
 * The lowest usable address of the subnet that is not taken, within `range` when given; network and broadcast addresses
 * are never given.
 */
export function pickAddress(
  subnet: string,
  taken: ReadonlySet<string>,
  range = subnet,
): string | undefined {
  const [whole, part] = [rangeOf(subnet), rangeOf(range)];
  const end = Math.min(part.last, whole.last - 1);
  for (let number = Math.max(part.first, whole.first + 1); number <= end; number++) {
    const address = textOf(number);
    if (!taken.has(address)) return address;
  }
  return undefined;
}

function rangeOf(subnet: string): Range {
  const { address, prefixLength } = parseCidr(subnet);
  const size = 2 ** (32 - prefixLength);
  const first = Math.floor(encodeIpv4(address).readUInt32BE(0) / size) * size;
  return { first, last: first + size - 1 };
}

function textOf(number: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return decodeIpv4(bytes);
}
