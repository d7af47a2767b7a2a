import { ClusterError } from '../model/index.ts';
import { overlaps, pickSubnet, pickSubnet6 } from './address-pool.ts';
import { type Directory, directoryOfContainers } from './directory.ts';
import { addressWithoutPrefix } from './expression.ts';
import { HOST_LINK_PREFIX, linkName } from './name.ts';
import type { LocalNetwork, LocalNetworkSpec } from './network.ts';
import type { SandboxRecord } from './record.ts';
import { addressesOn, gatewayOf } from './wiring.ts';

/** Addresses that are reached over a link of the host. */
export interface HostPrefix {
  /** `192.0.2.0/24` */
  readonly destination: string;
  readonly link: string;
}

/** The bridges of this host by network id, and their subnets. */
export class LocalNetworks {
  readonly byId: Map<string, LocalNetwork>;
  readonly #reserved: readonly string[];
  readonly #mtu: number;

  /** @param reserved subnets that no network may take, the gateway bridge's */
  constructor(networks: readonly LocalNetwork[], reserved: readonly string[], mtu: number) {
    this.byId = new Map(networks.map((network) => [network.networkId, network]));
    this.#reserved = reserved;
    this.#mtu = mtu;
  }

  get all(): readonly LocalNetwork[] {
    return [...this.byId.values()];
  }

  /**
   * @param host where the host's own links are; nothing is put over them
   * @throws ClusterError `conflict` for an overlapping subnet, `unavailable` when the pool is used up
   */
  ensure(spec: LocalNetworkSpec, host: readonly HostPrefix[]): LocalNetwork {
    const known = this.byId.get(spec.networkId);
    if (known !== undefined) return known;
    if (spec.parent !== undefined) return this.#ensureMacvlan(spec, spec.parent, host);
    const bridges = this.all.filter(({ parent }) => parent === undefined);
    const taken = [
      ...this.#reserved,
      ...bridges.flatMap(({ subnet, ipv6 }) => (ipv6 ? [subnet, ipv6.subnet] : [subnet])),
    ];
    const foreign = host.filter(({ link }) => link !== spec.bridge && !this.#owns(link));
    const all = [...taken, ...foreign.map(({ destination }) => destination)];
    const subnet = checked(spec.subnet ?? pickSubnet(all), taken, foreign);
    const wish = spec.ipv6;
    if (wish === undefined) return this.#keep({ ...spec, subnet, ipv6: undefined });
    const subnet6 = checked(wish.subnet ?? pickSubnet6(all), taken, foreign);
    return this.#keep({ ...spec, subnet, ipv6: { ...wish, subnet: subnet6 } });
  }

  /** Its subnet is the parent's own, or another one on the same wire: it overlaps nothing that we route. */
  #ensureMacvlan(
    spec: LocalNetworkSpec,
    parent: string,
    host: readonly HostPrefix[],
  ): LocalNetwork {
    if (spec.subnet === undefined) {
      throw new ClusterError(
        'invalid',
        'a macvlan network needs the subnet of its parent: --subnet',
      );
    }
    if (!host.some(({ link }) => link === parent)) {
      const message = `parent ${parent} is no link of this host that has an address or a route`;
      throw new ClusterError('invalid', message);
    }
    return this.#keep({ ...spec, subnet: spec.subnet, ipv6: undefined });
  }

  #keep(
    spec: Omit<LocalNetworkSpec, 'ipv6'> & {
      readonly subnet: string;
      readonly ipv6?: (LocalNetworkSpec['ipv6'] & { readonly subnet: string }) | undefined;
    },
  ): LocalNetwork {
    const { subnet, ipv6 } = spec;
    const network: LocalNetwork = {
      networkId: spec.networkId,
      name: spec.name,
      parent: spec.parent,
      subnet,
      range: spec.range,
      gateway: spec.gateway ?? gatewayOf(subnet),
      ...(ipv6 && { ipv6: { ...ipv6, gateway: ipv6.gateway ?? gatewayOf(ipv6.subnet) } }),
      reserved: spec.reserved,
      bridge: spec.bridge ?? linkName(HOST_LINK_PREFIX, 'bridge', spec.networkId),
      internal: spec.internal ?? false,
      mtu: spec.mtu ?? this.#mtu,
    };
    this.byId.set(network.networkId, network);
    return network;
  }

  /** @throws ClusterError `conflict` while containers are on it */
  remove({ name, networkId }: LocalNetwork, used: boolean): void {
    if (used) {
      const message = `error while removing network: network ${name} id ${networkId} has active endpoints`;
      throw new ClusterError('conflict', message, { status: 403 });
    }
    this.byId.delete(networkId);
  }

  #owns(link: string): boolean {
    return link.startsWith(HOST_LINK_PREFIX) || this.all.some(({ bridge }) => bridge === link);
  }

  /** Names of the containers on it. */
  directoryOf(network: LocalNetwork, records: readonly SandboxRecord[]): Directory {
    const names = records.flatMap(({ spec, attachments }) =>
      attachments
        .filter(({ networkId }) => networkId === network.networkId)
        .map((attachment) => {
          const addresses = addressesOn(attachment).map(addressWithoutPrefix);
          return { name: spec.name, aliases: attachment.aliases, addresses };
        }),
    );
    return directoryOfContainers(network.name, names);
  }
}

/** @throws ClusterError when there is no such subnet or it is in the way of another or of the host's own links */
function checked(
  subnet: string | undefined,
  taken: readonly string[],
  foreign: readonly HostPrefix[],
): string {
  if (subnet === undefined) {
    const message = 'all predefined address pools have been fully subnetted';
    throw new ClusterError('unavailable', message);
  }
  if (taken.some((other) => overlaps(other, subnet))) {
    const message = 'Pool overlaps with other one on this address space';
    throw new ClusterError('conflict', message, { status: 403 });
  }
  const inTheWay = foreign.find(({ destination }) => overlaps(destination, subnet));
  if (inTheWay) {
    const { destination, link } = inTheWay;
    const message = `subnet ${subnet} overlaps with ${destination} of link ${link} of this host, which could not be reached any more: choose another one with --subnet`;
    throw new ClusterError('conflict', message, { status: 403 });
  }
  return subnet;
}
