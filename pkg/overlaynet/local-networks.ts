import { ClusterError } from '../model/index.ts';
import { overlaps, pickSubnet } from './address-pool.ts';
import { type Directory, directoryOfContainers } from './directory.ts';
import { addressWithoutPrefix } from './expression.ts';
import { HOST_LINK_PREFIX, linkName } from './name.ts';
import type { LocalNetwork, LocalNetworkSpec } from './network.ts';
import type { SandboxRecord } from './record.ts';
import { gatewayOf } from './wiring.ts';

/** Addresses that are reached over a link of the host. */
export interface HostPrefix {
  /** `192.0.2.0/24` */
  readonly destination: string;
  readonly link: string;
}

/** The bridges of this host by network id, and their subnets. */
export class LocalNetworks {
  readonly byId: Map<string, LocalNetwork>;
  readonly #reserved: string;
  readonly #mtu: number;

  /** @param reserved subnet that no network may take, the gateway bridge's */
  constructor(networks: readonly LocalNetwork[], reserved: string, mtu: number) {
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
    const taken = [this.#reserved, ...bridges.map(({ subnet }) => subnet)];
    const foreign = host.filter(({ link }) => link !== spec.bridge && !this.#owns(link));
    const subnet =
      spec.subnet ?? pickSubnet([...taken, ...foreign.map(({ destination }) => destination)]);
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
    return this.#keep({ ...spec, subnet });
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
    return this.#keep({ ...spec, subnet: spec.subnet });
  }

  #keep(spec: LocalNetworkSpec & { readonly subnet: string }): LocalNetwork {
    const { subnet } = spec;
    const network: LocalNetwork = {
      networkId: spec.networkId,
      name: spec.name,
      parent: spec.parent,
      subnet,
      range: spec.range,
      gateway: spec.gateway ?? gatewayOf(subnet),
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
        .map(({ address, aliases }) => {
          return { name: spec.name, aliases, address: addressWithoutPrefix(address) };
        }),
    );
    return directoryOfContainers(network.name, names);
  }
}
