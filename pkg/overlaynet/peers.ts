import { isIpv6 } from 'vxlan-netlink';
import type { NetworkTable } from '../model/index.ts';

/**
 * Hosts that tunnels from `self` lead to, each once: a tunnel's ends are of one family, so one that has an address of the
 * other (it has not followed the others into the cluster's new addresses yet) is not reached.
 */
export function peersOf(
  tables: readonly Pick<NetworkTable, 'peers'>[],
  self: string,
): readonly NetworkTable['peers'][number]['address'][] {
  const addresses = tables.flatMap(({ peers }) => peers.map(({ address }) => address));
  return [...new Set(addresses)].filter((address) => isIpv6(address) === isIpv6(self)).toSorted();
}
