import {
  endpointMode,
  type Network,
  type NetworkId,
  NODE_LOCAL_NETWORKS,
  networkTargets,
  type Service,
  type ServiceSpec,
  usesIngress,
  type View,
  type VirtualIp,
} from '../model/index.ts';
import type { AddressBook } from './address-book.ts';

/** One network a task of the service joins. */
export interface Membership {
  readonly network: Network;
  readonly aliases: readonly string[];
}

/** The overlay networks of a spec, the ingress network last; or why one of them cannot be used yet. */
export function memberships(
  view: View,
  spec: ServiceSpec,
  ingress: Network | undefined,
): readonly Membership[] | { readonly error: string } {
  const found: Membership[] = [];
  for (const { target, aliases } of networkTargets(spec)) {
    if (NODE_LOCAL_NETWORKS.has(target)) continue;
    const network = view.get('network', target as NetworkId) ?? view.byName('network', target);
    if (!network || network.removing) return { error: `network ${target} not found` };
    if (network.vni === 0) return { error: `network ${network.spec.Name} has no subnet yet` };
    if (!found.some((other) => other.network.id === network.id)) found.push({ network, aliases });
  }
  if (!usesIngress(spec)) return found;
  if (!ingress) return { error: 'ingress network not found' };
  if (ingress.vni === 0) return { error: 'network ingress has no subnet yet' };
  return [
    ...found.filter(({ network }) => network.id !== ingress.id),
    { network: ingress, aliases: [] },
  ];
}

/** A virtual address in each network and family, those it has kept; undefined when a subnet is full. */
export function allocateVirtualIps(
  service: Service,
  networks: readonly Membership[],
  book: AddressBook,
): readonly VirtualIp[] | undefined {
  const wanted = networks.filter(
    ({ network }) => endpointMode(service.spec) === 'vip' || network.spec.Ingress,
  );
  const result: VirtualIp[] = [];
  for (const { network } of wanted) {
    const held = service.endpoint.virtualIps.filter((vip) => vip.networkId === network.id);
    const addresses = book.of(network).takeBeside(held.map(({ address }) => address));
    if (addresses === undefined) return undefined;
    result.push(...addresses.map((address) => ({ networkId: network.id, address })));
  }
  return result;
}
