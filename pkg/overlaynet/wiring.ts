import { ClusterError, type NetworkTable, unsupported } from '../model/index.ts';
import { contains, pickAddress } from './address-pool.ts';
import { renderHosts, renderResolvConf } from './dns.ts';
import { addressWithoutPrefix, macOf } from './expression.ts';
import { familiesOf, IPV4, IPV6 } from './family.ts';
import { HOST_LINK_PREFIX, HUB_LINK_PREFIX, linkName } from './name.ts';
import type {
  AttachedInterface,
  AttachedSandbox,
  ConnectedNetwork,
  HostPort,
  HostResolver,
  LocalAttachment,
  LocalNetwork,
  OverlayAttachment,
  SandboxSpec,
} from './network.ts';
import type { PublishedHostPort } from './publish.ts';
import { isAnyAddress } from './publish.ts';
import type { Attachment, SandboxRecord } from './record.ts';

const EPHEMERAL_PORT_FIRST = 32768;
const PORT_MAX = 65535;

/** What this host offers a new container. */
export interface WiringContext {
  readonly overlays: ReadonlyMap<string, OverlayKind>;
  readonly localNetworks: ReadonlyMap<string, LocalNetwork>;
  readonly gatewaySubnet: string;
  /** Undefined on a host without IPv6. */
  readonly gatewaySubnet6: string | undefined;
  /** Of all other containers. */
  readonly attachments: readonly Attachment[];
  readonly hostPorts: readonly HostPort[];
}

interface OverlayKind {
  readonly internal: boolean;
  /** This host uses it with IPv6 too. */
  readonly hasIpv6: boolean;
}

/** What says where a container's way out leads. */
export type WayOut = Pick<WiringContext, 'localNetworks' | 'gatewaySubnet' | 'gatewaySubnet6'>;

/** @param records of every container that is on this host or may be */
export function wiringContext(
  description: WayOut,
  tables: readonly Pick<NetworkTable, 'networkId' | 'internal' | 'subnets'>[],
  records: readonly SandboxRecord[],
): WiringContext {
  return {
    ...description,
    overlays: new Map(
      tables.map((table) => {
        const { networkId, internal } = table;
        return [networkId, { internal, hasIpv6: familiesOf(table).includes(IPV6) }];
      }),
    ),
    attachments: records.flatMap(({ attachments }) => attachments),
    hostPorts: records.flatMap(({ hostPorts }) => hostPorts),
  };
}

/** Gateway of the subnet: its first address. */
export function gatewayOf(subnet: string): string {
  return pickAddress(subnet, new Set()) ?? addressWithoutPrefix(subnet);
}

/**
 * Decides links and addresses: overlays first, then local networks, and the gateway bridge last for a container that
 * would have no way out otherwise.
 * @throws ClusterError `not-found` for an unknown network, `unavailable` for a full one, `conflict` for a taken address
 */
export function chooseAttachments(
  spec: SandboxSpec,
  context: WiringContext,
): readonly Attachment[] {
  const attachments: Attachment[] = [];
  const nextLink = (): string => `eth${attachments.length}`;
  let needsGateway = false;
  for (const wanted of spec.overlays) {
    const overlay = context.overlays.get(wanted.networkId);
    if (overlay === undefined) throw unknownNetwork(wanted.networkId);
    needsGateway ||= !overlay.internal;
    attachments.push(overlayAttachment(spec.containerId, given(wanted, overlay), nextLink()));
  }
  for (const wanted of spec.localNetworks ?? []) {
    const attachment = chooseLocal(spec.containerId, wanted, { ...context, link: nextLink() });
    attachments.push(attachment);
    if (context.localNetworks.get(wanted.networkId)?.internal !== true) needsGateway = false;
  }
  if (!needsGateway) return attachments;
  const leg = chooseGateway(spec.containerId, nextLink(), context);
  const publishes = (spec.hostPorts ?? []).length > 0;
  return withWayOut6([...attachments, leg], { ...context, always: publishes });
}

/** With an IPv6 address for the leg in the gateway bridge, when there is one of a network or always. */
export function withWayOut6(
  attachments: readonly Attachment[],
  context: WiringContext & { readonly always?: boolean | undefined },
): readonly Attachment[] {
  const { gatewaySubnet6: subnet6, always } = context;
  const isWanted = always || attachments.some(({ address6 }) => address6 !== undefined);
  if (subnet6 === undefined || !isWanted) return attachments;
  return attachments.map((attachment) => {
    if (attachment.kind !== 'gateway' || attachment.address6 !== undefined) return attachment;
    return { ...attachment, address6: gatewayAddress(subnet6, context) };
  });
}

/** Without the IPv6 address where the host does not use it. */
function given(wanted: OverlayAttachment, { hasIpv6 }: OverlayKind): OverlayAttachment {
  return hasIpv6 ? wanted : { ...wanted, address6: undefined };
}

/** Without prefix lengths. */
export function addressesOf(attachments: readonly Attachment[]): ReadonlySet<string> {
  return new Set(attachments.flatMap(addressesOn).map(addressWithoutPrefix));
}

/** With prefix lengths, IPv4 first. */
export function addressesOn({ address, address6 }: Attachment): readonly string[] {
  return address6 === undefined ? [address] : [address, address6];
}

/** The lowest `ethN` that the container does not use. */
export function freeLink(attachments: readonly Attachment[]): string {
  const links = new Set(attachments.map(({ link }) => link));
  let number = 0;
  while (links.has(`eth${number}`)) number++;
  return `eth${number}`;
}

/** One more network for a container that runs; the link is given. @throws ClusterError as `chooseAttachments` does */
export function chooseOne(
  containerId: string,
  wanted: ConnectedNetwork,
  context: WiringContext & { readonly link: string },
): Attachment {
  const { networkId, address } = wanted;
  const address6 = 'address6' in wanted ? wanted.address6 : undefined;
  const overlay = context.overlays.get(networkId);
  if (overlay === undefined) return chooseLocal(containerId, wanted, context);
  if (address === undefined)
    throw new ClusterError('invalid', 'an overlay attachment needs an address');
  return overlayAttachment(
    containerId,
    given({ networkId, address, address6 }, overlay),
    context.link,
  );
}

function overlayAttachment(
  containerId: string,
  { networkId, address, address6 }: OverlayAttachment,
  link: string,
): Attachment {
  const hostLink = linkName(HUB_LINK_PREFIX, containerId, networkId);
  const addresses = address6 === undefined ? { address } : { address, address6 };
  return { kind: 'overlay', networkId, link, hostLink, ...addresses, aliases: [] };
}

function chooseLocal(
  containerId: string,
  wanted: LocalAttachment,
  context: WiringContext & { readonly link: string },
): Attachment {
  const network = context.localNetworks.get(wanted.networkId);
  if (network === undefined) throw unknownNetwork(wanted.networkId);
  const held = new Set(addressesTaken(wanted.networkId, context));
  const address = pickLocal(network, { ...network, wanted: wanted.address, held });
  const { ipv6 } = network;
  if (ipv6 === undefined && wanted.address6) {
    unsupported(`an IPv6 address on network ${network.name} is`, 'it was made without --ipv6');
  }
  return {
    kind: 'local',
    networkId: wanted.networkId,
    link: context.link,
    hostLink: linkName(HOST_LINK_PREFIX, containerId, wanted.networkId),
    address,
    ...(ipv6 && { address6: pickLocal(network, { ...ipv6, wanted: wanted.address6, held }) }),
    aliases: wanted.aliases ?? [],
    parent: network.parent,
  };
}

/** The wanted address of a local network, or the next free one, with prefix length. */
function pickLocal(
  { name, reserved = [] }: LocalNetwork,
  part: {
    readonly subnet: string;
    readonly range?: string | undefined;
    readonly gateway: string;
    readonly wanted?: string | undefined;
    readonly held: ReadonlySet<string>;
  },
): string {
  const { subnet, range, gateway, wanted, held } = part;
  if (wanted && (wanted === gateway || held.has(wanted))) {
    throw new ClusterError('conflict', `address ${wanted} is already in use`);
  }
  const kept = new Set([gateway, ...held, ...reserved]);
  const address = wanted || pickAddress(subnet, kept, range);
  if (address === undefined) throw noAddressLeft(name);
  if (!contains(subnet, address)) {
    throw new ClusterError('invalid', `address ${address} is not in subnet ${subnet}`);
  }
  return `${address}/${subnet.split('/')[1]}`;
}

function chooseGateway(containerId: string, link: string, context: WiringContext): Attachment {
  return {
    kind: 'gateway',
    networkId: '',
    link,
    hostLink: linkName(HOST_LINK_PREFIX, containerId, 'gateway'),
    address: gatewayAddress(context.gatewaySubnet, context),
    aliases: [],
  };
}

/** A free one in the gateway bridge, with prefix length. */
function gatewayAddress(subnet: string, context: WiringContext): string {
  const taken = new Set([gatewayOf(subnet), ...addressesTaken('', context)]);
  const address = pickAddress(subnet, taken);
  if (address === undefined) throw noAddressLeft('gateway');
  return `${address}/${subnet.split('/')[1]}`;
}

function addressesTaken(networkId: string, context: WiringContext): readonly string[] {
  return context.attachments
    .filter((attachment) => attachment.kind !== 'overlay' && attachment.networkId === networkId)
    .flatMap(addressesOn)
    .map(addressWithoutPrefix);
}

/**
 * @param attachments of the container that publishes them
 * @throws ClusterError `conflict`, in Docker's words, when a port is taken by another container
 */
export function chooseHostPorts(
  wanted: readonly HostPort[],
  taken: readonly HostPort[],
  attachments: readonly Attachment[],
): readonly HostPort[] {
  const hasIpv6 = attachments.some(({ kind, address6 }) => kind !== 'overlay' && address6);
  const chosen: HostPort[] = [];
  for (const port of wanted) {
    if (!hasIpv6 && !isAnyAddress(port.hostIp) && IPV6.has(port.hostIp)) {
      unsupported(
        `publishing port ${port.targetPort}/${port.protocol} on ${port.hostIp} is`,
        "none of the container's networks that lead out has IPv6",
      );
    }
    const others = [...taken, ...chosen];
    const publishedPort = port.publishedPort === 0 ? freePort(port, others) : port.publishedPort;
    if (others.some((other) => clashes({ ...port, publishedPort }, other))) {
      const address = isAnyAddress(port.hostIp) ? '0.0.0.0' : port.hostIp;
      throw new ClusterError(
        'conflict',
        `Bind for ${address}:${publishedPort} failed: port is already allocated`,
        { status: 500 },
      );
    }
    chosen.push({ ...port, publishedPort });
  }
  return chosen;
}

function freePort(port: HostPort, taken: readonly HostPort[]): number {
  for (let number = EPHEMERAL_PORT_FIRST; number <= PORT_MAX; number++) {
    const candidate = { ...port, publishedPort: number };
    if (!taken.some((other) => clashes(candidate, other))) return number;
  }
  throw new ClusterError('unavailable', 'all ports of the host are allocated');
}

function clashes(left: HostPort, right: HostPort): boolean {
  return (
    left.protocol === right.protocol &&
    left.publishedPort === right.publishedPort &&
    (isCovered(left.hostIp, right.hostIp) || isCovered(right.hostIp, left.hostIp))
  );
}

/** Whether what is published on `wide` takes `address` too. */
function isCovered(address: string | undefined, wide: string | undefined): boolean {
  if (wide === IPV4.any) return address === undefined || IPV4.has(address) || address === IPV6.any;
  return isAnyAddress(wide) || wide === address;
}

/** The container's default routes, IPv4's first: its first local network that leads out, else the gateway bridge. */
export function defaultGatewaysOf(
  attachments: readonly Attachment[],
  { localNetworks, gatewaySubnet, gatewaySubnet6 }: WayOut,
): readonly string[] {
  for (const { kind, networkId } of attachments) {
    const network = kind === 'local' ? localNetworks.get(networkId) : undefined;
    if (network?.internal === false) {
      return [network.gateway, ...(network.ipv6 ? [network.ipv6.gateway] : [])];
    }
  }
  const leg = attachments.find(({ kind }) => kind === 'gateway');
  if (leg === undefined) return [];
  const subnets = [gatewaySubnet, ...(leg.address6 && gatewaySubnet6 ? [gatewaySubnet6] : [])];
  return subnets.map(gatewayOf);
}

/** Published ports of a container lead to the interface its default route uses, in each family that it has there. */
export function publishedPortsOf(
  record: SandboxRecord,
  gateways: readonly string[],
): readonly PublishedHostPort[] {
  const targets = record.attachments
    // A macvlan's container is on the network itself; the host could not even reach it.
    .filter(({ kind, parent }) => kind !== 'overlay' && parent === undefined)
    .flatMap(addressesOn);
  return gateways.flatMap((gateway) => {
    const target = targets.find((address) => contains(address, gateway));
    if (target === undefined) return [];
    const targetAddress = addressWithoutPrefix(target);
    return record.hostPorts.map((port) => ({ ...port, targetAddress }));
  });
}

/** What of the host shows in the description of its containers. */
export type Description = WayOut & {
  readonly resolver: HostResolver;
};

export function describeSandbox(record: SandboxRecord, context: Description): AttachedSandbox {
  const { spec, attachments, hostPorts } = record;
  const [gateway] = defaultGatewaysOf(attachments, context);
  const addresses = attachments
    .filter(({ kind }) => kind !== 'gateway')
    .flatMap(addressesOn)
    .map(addressWithoutPrefix);
  return {
    containerId: spec.containerId,
    interfaces: attachments.map((attachment) => describeInterface(attachment, context)),
    hostPorts,
    resolvConf: renderResolvConf({
      search: nonEmpty(spec.dns?.search) ?? context.resolver.search,
      options: nonEmpty(spec.dns?.options) ?? context.resolver.options,
    }),
    hosts: renderHosts({
      hostname: spec.hostname,
      addresses,
      extraHosts: spec.extraHosts ?? [],
      hostGateway: gateway ?? '',
    }),
  };
}

export function describeInterface(attachment: Attachment, context: WayOut): AttachedInterface {
  const { kind, networkId, link, address, address6 } = attachment;
  const gateway = {
    overlay: undefined,
    local: context.localNetworks.get(networkId)?.gateway,
    gateway: gatewayOf(context.gatewaySubnet),
  }[kind];
  const gateway6 =
    kind === 'local' ? context.localNetworks.get(networkId)?.ipv6?.gateway : undefined;
  const mac = macOf(addressWithoutPrefix(address));
  return { networkId, link, address, address6, gateway, gateway6, mac };
}

function nonEmpty(list: readonly string[] | undefined): readonly string[] | undefined {
  return list === undefined || list.length === 0 ? undefined : list;
}

function unknownNetwork(networkId: string): ClusterError {
  return new ClusterError('not-found', `network ${networkId} not found on this node`, {
    retry: true,
  });
}

function noAddressLeft(name: string): ClusterError {
  return new ClusterError('unavailable', `network ${name} has no address left`);
}
