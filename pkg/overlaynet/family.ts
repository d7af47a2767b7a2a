import { decodeAddress, encodeAddress, isIpv6, type KeyType } from 'vxlan-netlink';

/** How rules see one of the two address families. Each has nf_tables tables of its own. */
export interface Family {
  /** Length of an address, and where the header has them. */
  readonly length: 4 | 16;
  readonly sourceOffset: number;
  readonly destinationOffset: number;
  readonly keyType: KeyType[number];
  /** Prefix of addresses that mean the host itself and nothing elsewhere. */
  readonly loopback: string;
  /** Stands for all addresses. */
  readonly any: string;
  /** Whether the address or prefix is of this family. */
  readonly has: (text: string) => boolean;
  /** Name of the family's table beside that of IPv4. */
  readonly tableOf: (name: string) => string;
}

export const IPV4: Family = {
  length: 4,
  sourceOffset: 12,
  destinationOffset: 16,
  keyType: 'ipv4',
  loopback: '127.0.0.0/8',
  any: '0.0.0.0',
  has: (text) => !isIpv6(text),
  tableOf: (name) => name,
};

export const IPV6: Family = {
  length: 16,
  sourceOffset: 8,
  destinationOffset: 24,
  keyType: 'ipv6',
  loopback: '::1/128',
  any: '::',
  has: isIpv6,
  tableOf: (name) => `ip6 ${name}`,
};

/** RFC 8200 section 5: IPv6 has none of links that carry less. */
export const IPV6_MTU_MIN = 1280;

/** A sysctl that is absent in a kernel without IPv6. */
export const IPV6_THERE = 'net/ipv6/conf/all/disable_ipv6';

/** IPv4, and IPv6 when one of the subnets is. */
export function familiesOf(table: {
  readonly subnets: readonly { readonly subnet: string }[];
}): readonly Family[] {
  return table.subnets.some(({ subnet }) => isIpv6(subnet)) ? [IPV4, IPV6] : [IPV4];
}

/** Of IPv6, with or without prefix length: means something on its own link alone. */
export function isLinkLocal(address: string): boolean {
  return /^fe[89ab][0-9a-f]:/.test(address);
}

/** An address of IPv6 for the link that has this IPv4 address. */
export function linkLocalOf(address: string): string {
  const prefix = Buffer.from('fe80000000000000', 'hex');
  const number = encodeAddress(address);
  return decodeAddress(Buffer.concat([prefix, Buffer.alloc(4), number]));
}

/** Without prefix length: elements of sets with the family's key. */
export function keysOf(family: Family, addresses: readonly string[]): readonly Buffer[] {
  return addresses.filter(family.has).map(encodeAddress);
}
