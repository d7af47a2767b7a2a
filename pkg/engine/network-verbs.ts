/** The verbs of `docker network` for the networks of this host, Docker-shaped. */
import {
  ClusterError,
  type IpamConfig,
  refuseDriver,
  unsupported,
  validateIpamConfig,
} from '../model/index.ts';
import { connectToCluster, disconnectFromCluster } from './cluster-networks.ts';
import type { Container } from './container.ts';
import type { DockerJson, EndpointConfig } from './docker-shape.ts';
import type { Host } from './host.ts';
import type { NetworkDefinition } from './local-networks.ts';
import { networkPlan } from './network-plan.ts';

interface CreateNetworkBody {
  readonly Name?: string | undefined;
  readonly Driver?: string | null | undefined;
  readonly Internal?: boolean | null | undefined;
  readonly Attachable?: boolean | null | undefined;
  readonly Labels?: Readonly<Record<string, string>> | null | undefined;
  readonly Options?: Readonly<Record<string, string>> | null | undefined;
  readonly EnableIPv4?: boolean | null | undefined;
  readonly EnableIPv6?: boolean | null | undefined;
  readonly ConfigOnly?: boolean | null | undefined;
  readonly ConfigFrom?: { readonly Network?: string | undefined } | null | undefined;
  readonly IPAM?:
    | {
        readonly Driver?: string | undefined;
        readonly Config?: readonly IpamConfig[] | null | undefined;
      }
    | null
    | undefined;
}

/** Options of Docker's bridge driver, and which of their values hold here. */
const BRIDGE_OPTIONS: ReadonlyMap<string, RegExp> = new Map([
  ['com.docker.network.bridge.name', /^.{1,15}$/],
  ['com.docker.network.driver.mtu', /^[1-9]\d{1,4}$/],
  ['com.docker.network.bridge.enable_icc', /^true$/],
  ['com.docker.network.bridge.enable_ip_masquerade', /^true$/],
  ['com.docker.network.bridge.host_binding_ipv4', /^0\.0\.0\.0$/],
  ['com.docker.network.bridge.default_bridge', /^false$/],
]);

/** Of Docker's macvlan driver. A parent that does not exist is refused when the network is made. */
const MACVLAN_OPTIONS: ReadonlyMap<string, RegExp> = new Map([
  ['parent', /^[^\s/.]{1,15}$/],
  ['macvlan_mode', /^bridge$/],
  ['com.docker.network.driver.mtu', /^[1-9]\d{1,4}$/],
]);

export class NetworkVerbs {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  async list(): Promise<readonly DockerJson[]> {
    return this.#host.networks.list().map((definition) => this.#render(definition));
  }

  async inspect(text: string): Promise<DockerJson> {
    return this.#render(this.#host.networks.get(text));
  }

  #render(definition: NetworkDefinition): DockerJson {
    const live = this.#host.networks.live(definition);
    const subnet = live?.subnet ?? definition.subnet;
    const gateway = live?.gateway ?? definition.gateway;
    const { ipv6 } = definition;
    const parts = [
      { ...definition, subnet, gateway },
      ...(ipv6 ? [{ ...ipv6, ...live?.ipv6 }] : []),
    ];
    const Config = parts.flatMap((part) =>
      part.subnet === undefined
        ? []
        : {
            Subnet: part.subnet,
            ...(part.range && { IPRange: part.range }),
            ...(part.gateway && { Gateway: part.gateway }),
            ...(part.auxiliary && { AuxiliaryAddresses: part.auxiliary }),
          },
    );
    return {
      Name: definition.name,
      Id: definition.id,
      Created: definition.createdAt,
      Scope: 'local',
      Driver: definition.driver,
      EnableIPv4: true,
      EnableIPv6: ipv6 !== undefined,
      IPAM: { Driver: 'default', Options: null, Config },
      Internal: definition.internal,
      Attachable: definition.attachable,
      Ingress: false,
      ConfigFrom: { Network: '' },
      ConfigOnly: false,
      Containers: Object.fromEntries(this.#members(definition)),
      Options: definition.options,
      Labels: definition.labels,
    };
  }

  #members(definition: NetworkDefinition): readonly (readonly [string, DockerJson])[] {
    return this.#host.registry.list().flatMap((container) => {
      const link = container.sandbox?.interfaces.find(
        ({ networkId }) => networkId === definition.id,
      );
      if (!link) return [];
      const EndpointID = `${definition.id}${link.mac.replaceAll(':', '')}`;
      const { name: Name } = container;
      const member = {
        Name,
        EndpointID,
        MacAddress: link.mac,
        IPv4Address: link.address,
        IPv6Address: link.address6 ?? '',
      };
      return [[container.id, member] as const];
    });
  }

  async create(body: DockerJson): Promise<{ readonly id: string; readonly warning: string }> {
    const request = body as CreateNetworkBody;
    if (!request.Name) throw new ClusterError('invalid', 'network name is required');
    const driver = request.Driver || 'bridge';
    refuseDriver(driver);
    if (driver !== 'bridge' && driver !== 'macvlan') {
      throw new ClusterError(
        'not-found',
        `could not find plugin ${driver} in v1 plugin registry: plugin not found`,
      );
    }
    if (driver === 'macvlan' && !request.Options?.['parent']) {
      unsupported(
        'macvlan networks without a parent are',
        'name a link of this host: -o parent=eth0',
      );
    }
    refuseUnsupported(request, driver === 'bridge' ? BRIDGE_OPTIONS : MACVLAN_OPTIONS);
    const ipam = request.IPAM?.Config ?? [];
    if (request.EnableIPv6) this.#refuseWithoutIpv6();
    const { id } = await this.#host.networks.create({
      name: request.Name,
      driver,
      ...subnetOf(ipam.find((config) => !isIpv6Config(config))),
      ...(request.EnableIPv6 && { ipv6: subnetOf(ipam.find(isIpv6Config)) }),
      internal: request.Internal ?? false,
      attachable: request.Attachable ?? false,
      labels: request.Labels ?? {},
      options: request.Options ?? {},
    });
    this.#emit('create', { id, name: request.Name, driver });
    return { id, warning: '' };
  }

  #refuseWithoutIpv6(): void {
    if (this.#host.network?.abilities().hasIpv6 !== false) return;
    unsupported('IPv6 networks are', 'the kernel of this host was started without IPv6');
  }

  async remove(text: string): Promise<void> {
    const definition = this.#host.networks.get(text);
    const users = this.#host.registry.list().filter((each) => this.#uses(each, definition));
    const active = users.filter(({ running }) => running);
    if (active.length > 0) {
      throw new ClusterError(
        'forbidden',
        `error while removing network: network ${definition.name} has active endpoints (name:"${active[0]?.name}" id:"${active[0]?.id.slice(0, 12)}")`,
      );
    }
    await this.#host.networks.remove(definition);
    this.#emit('destroy', definition);
  }

  #uses(container: Container, { name, id }: NetworkDefinition): boolean {
    const plan = networkPlan(container.record);
    return plan.kind === 'own' && (plan.local.has(name) || plan.local.has(id));
  }

  /** A network that this host does not have may be the cluster's. */
  #isElsewhere(text: string): boolean {
    return this.#host.cluster?.available === true && !this.#host.networks.find(text);
  }

  async connect(text: string, body: DockerJson): Promise<void> {
    const request = body as {
      readonly Container?: string;
      readonly EndpointConfig?: EndpointConfig | null;
    };
    const container = this.#host.registry.get(request.Container ?? '');
    if (this.#isElsewhere(text)) {
      const endpoint = request.EndpointConfig ?? {};
      await connectToCluster(this.#host, container, { network: text, endpoint });
      return;
    }
    const definition = this.#host.networks.get(text);
    if (this.#uses(container, definition)) {
      throw new ClusterError(
        'forbidden',
        `endpoint with name ${container.name} already exists in network ${definition.name}`,
      );
    }
    const endpoint = request.EndpointConfig ?? {};
    await this.#change(container, definition, endpoint);
    this.#emit('connect', definition);
  }

  async disconnect(text: string, body: DockerJson): Promise<void> {
    const container = this.#host.registry.get(
      (body as { readonly Container?: string }).Container ?? '',
    );
    if (this.#isElsewhere(text)) {
      await disconnectFromCluster(this.#host, container, text);
      return;
    }
    const definition = this.#host.networks.get(text);
    if (!this.#uses(container, definition)) {
      throw new ClusterError(
        'forbidden',
        `container ${container.id} is not connected to the network ${definition.name}`,
      );
    }
    await this.#change(container, definition, undefined);
    this.#emit('disconnect', definition);
  }

  /** `endpoint` undefined takes the network away. */
  async #change(
    container: Container,
    definition: NetworkDefinition,
    endpoint: EndpointConfig | undefined,
  ): Promise<void> {
    const { network, networks, records } = this.#host;
    await container.exclusive(async () => {
      const plan = networkPlan(container.record);
      if (plan.kind !== 'own') {
        throw new ClusterError(
          'forbidden',
          'container sharing network namespace with another container or host cannot be connected to any other network',
        );
      }
      const endpoints = new Map(plan.local);
      endpoints.delete(definition.id);
      if (endpoint) endpoints.set(definition.name, endpoint);
      else endpoints.delete(definition.name);
      if (network && container.running) {
        if (endpoint) network.connect(container.id, networks.attachment(definition.name, endpoint));
        else network.disconnect(container.id, definition.id);
        container.sandbox = network.inspect(container.id);
      }
      container.record = { ...container.record, endpoints: Object.fromEntries(endpoints) };
      await records.save(container.record);
    });
  }

  #emit(
    action: string,
    { id, name, driver }: Pick<NetworkDefinition, 'id' | 'name' | 'driver'>,
  ): void {
    this.#host.events.emit('network', action, { id, attributes: { name, type: driver } });
  }

  async prune(keep: (network: DockerJson) => boolean): Promise<readonly string[]> {
    const deleted: string[] = [];
    for (const definition of this.#host.networks.list()) {
      if (['bridge', 'host', 'none'].includes(definition.name)) continue;
      if (this.#host.registry.list().some((each) => this.#uses(each, definition))) continue;
      if (keep(this.#render(definition))) continue;
      await this.remove(definition.id);
      deleted.push(definition.name);
    }
    return deleted;
  }
}

function isIpv6Config({ Subnet }: IpamConfig): boolean {
  return Subnet?.includes(':') === true;
}

function subnetOf(
  config: IpamConfig | undefined,
): Pick<NetworkDefinition, 'subnet' | 'range' | 'gateway' | 'auxiliary'> {
  return {
    subnet: config?.Subnet || undefined,
    range: config?.IPRange || undefined,
    gateway: config?.Gateway || undefined,
    auxiliary: config?.AuxiliaryAddresses ?? undefined,
  };
}

/** What the bridge would not follow. @throws ClusterError `not-implemented` (501) */
function refuseUnsupported(request: CreateNetworkBody, known: ReadonlyMap<string, RegExp>): void {
  const ipam = request.IPAM?.Config ?? [];
  refuseFamilies(request, ipam);
  for (const config of ipam) validateIpamConfig(config);
  if (request.IPAM?.Driver && request.IPAM.Driver !== 'default') {
    unsupported(`IPAM driver ${request.IPAM.Driver} is`, 'addresses come from the built-in pool');
  }
  if (request.ConfigOnly || request.ConfigFrom?.Network) {
    unsupported('config-only networks are', 'every network carries its own configuration');
  }
  for (const [name, value] of Object.entries(request.Options ?? {})) {
    if (known.get(name)?.test(value)) continue;
    unsupported(`network option ${name}=${value} is`, 'the network would not follow it');
  }
}

/** @throws ClusterError `not-implemented` (501) */
function refuseFamilies(request: CreateNetworkBody, ipam: readonly IpamConfig[]): void {
  const some = 'a bridge has one IPv4 subnet, and with --ipv6 one of IPv6';
  const six = ipam.filter(isIpv6Config);
  if (request.EnableIPv6 && request.Driver === 'macvlan') {
    unsupported('macvlan networks with IPv6 are', 'they have one IPv4 subnet');
  }
  if (!request.EnableIPv6 && six[0]) {
    const text = `subnet ${six[0].Subnet} is of IPv6, which the network is not made for: say --ipv6 too`;
    throw new ClusterError('invalid', text);
  }
  if (request.EnableIPv4 === false) unsupported('networks without IPv4 are', some);
  if (six.length > 1 || ipam.length - six.length > 1) {
    unsupported('several subnets of one bridge are', some);
  }
}
