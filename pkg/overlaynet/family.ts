import { encodeAddress, isIpv6, type KeyType } from 'vxlan-netlink';

/** How rules see one of the two address families. Each has nf_tables tables of its own. */
export interface Family {
  /** Length of an address, and where the header has them. */
  readonly length: 4 | 16;
  readonly sourceOffset: number;
  readonly destinationOffset: number;
  readonly keyType: KeyType[number];
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
  has: (text) => !isIpv6(text),
  tableOf: (name) => name,
};

export const IPV6: Family = {
  length: 16,
  sourceOffset: 8,
  destinationOffset: 24,
  keyType: 'ipv6',
  has: isIpv6,
  tableOf: (name) => `ip6 ${name}`,
};

/** A sysctl that is absent in a kernel without IPv6. */
export const IPV6_THERE = 'net/ipv6/conf/all/disable_ipv6';

/** IPv4, and IPv6 when one of the subnets is. */
export function familiesOf(table: {
  readonly subnets: readonly { readonly subnet: string }[];
}): readonly Family[] {
  return table.subnets.some(({ subnet }) => isIpv6(subnet)) ? [IPV4, IPV6] : [IPV4];
}

/** Without prefix length: elements of sets with the family's key. */
export function keysOf(family: Family, addresses: readonly string[]): readonly Buffer[] {
  return addresses.filter(family.has).map(encodeAddress);
}
