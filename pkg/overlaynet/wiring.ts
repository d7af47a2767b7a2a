import { ClusterError } from '../model/index.ts';
import { contains, pickAddress } from './address-pool.ts';
import { renderHosts, renderResolvConf } from './dns.ts';
import { addressWithoutPrefix, macOf } from './expression.ts';
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
  /** Overlay networks by id; true for internal ones. */
  readonly overlays: ReadonlyMap<string, { readonly internal: boolean }>;
  readonly localNetworks: ReadonlyMap<string, LocalNetwork>;
  readonly gatewaySubnet: string;
  /** Of all other containers. */
  readonly attachments: readonly Attachment[];
  readonly hostPorts: readonly HostPort[];
}

/** @param records of every container that is on this host or may be */
export function wiringContext(
  description: Pick<WiringContext, 'localNetworks' | 'gatewaySubnet'>,
  tables: readonly { readonly networkId: string; readonly internal: boolean }[],
  records: readonly SandboxRecord[],
): WiringContext {
  return {
    ...description,
    overlays: new Map(tables.map((table) => [table.networkId, table])),
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
    attachments.push(overlayAttachment(spec.containerId, wanted, nextLink()));
  }
  for (const wanted of spec.localNetworks ?? []) {
    const attachment = chooseLocal(spec.containerId, wanted, { ...context, link: nextLink() });
    attachments.push(attachment);
    if (context.localNetworks.get(wanted.networkId)?.internal !== true) needsGateway = false;
  }
  if (needsGateway) attachments.push(chooseGateway(spec.containerId, nextLink(), context));
  return attachments;
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
  if (!context.overlays.has(networkId)) return chooseLocal(containerId, wanted, context);
  if (address === undefined)
    throw new ClusterError('invalid', 'an overlay attachment needs an address');
  return overlayAttachment(containerId, { networkId, address, address6 }, context.link);
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
  const taken = new Set([network.gateway, ...addressesTaken(wanted.networkId, context)]);
  const kept = new Set([...taken, ...(network.reserved ?? [])]);
  if (wanted.address !== undefined && wanted.address !== '' && taken.has(wanted.address)) {
    throw new ClusterError('conflict', `address ${wanted.address} is already in use`);
  }
  const address = wanted.address || pickAddress(network.subnet, kept, network.range);
  if (address === undefined) throw noAddressLeft(network.name);
  if (!contains(network.subnet, address)) {
    throw new ClusterError('invalid', `address ${address} is not in subnet ${network.subnet}`);
  }
  return {
    kind: 'local',
    networkId: wanted.networkId,
    link: context.link,
    hostLink: linkName(HOST_LINK_PREFIX, containerId, wanted.networkId),
    address: `${address}/${network.subnet.split('/')[1]}`,
    aliases: wanted.aliases ?? [],
    parent: network.parent,
  };
}

function chooseGateway(containerId: string, link: string, context: WiringContext): Attachment {
  const subnet = context.gatewaySubnet;
  const taken = new Set([gatewayOf(subnet), ...addressesTaken('', context)]);
  const address = pickAddress(subnet, taken);
  if (address === undefined) throw noAddressLeft('gateway');
  return {
    kind: 'gateway',
    networkId: '',
    link,
    hostLink: linkName(HOST_LINK_PREFIX, containerId, 'gateway'),
    address: `${address}/${subnet.split('/')[1]}`,
    aliases: [],
  };
}

function addressesTaken(networkId: string, context: WiringContext): readonly string[] {
  return context.attachments
    .filter((attachment) => attachment.kind !== 'overlay' && attachment.networkId === networkId)
    .map((attachment) => addressWithoutPrefix(attachment.address));
}

/** @throws ClusterError `conflict`, in Docker's words, when a port is taken by another container */
export function chooseHostPorts(
  wanted: readonly HostPort[],
  taken: readonly HostPort[],
): readonly HostPort[] {
  const chosen: HostPort[] = [];
  for (const port of wanted) {
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
    (isAnyAddress(left.hostIp) || isAnyAddress(right.hostIp) || left.hostIp === right.hostIp)
  );
}

/** The container's default route: its first local network that leads out, else the gateway bridge. */
export function defaultGatewayOf(
  attachments: readonly Attachment[],
  context: Pick<WiringContext, 'localNetworks' | 'gatewaySubnet'>,
): string | undefined {
  for (const { kind, networkId } of attachments) {
    const network = kind === 'local' ? context.localNetworks.get(networkId) : undefined;
    if (network?.internal === false) return network.gateway;
  }
  const out = attachments.some(({ kind }) => kind === 'gateway');
  return out ? gatewayOf(context.gatewaySubnet) : undefined;
}

/** Published ports of a container lead to the interface its default route uses. */
export function publishedPortsOf(
  record: SandboxRecord,
  gateway: string | undefined,
): readonly PublishedHostPort[] {
  const target = record.attachments.find(
    ({ kind, address }) =>
      kind !== 'overlay' && gateway !== undefined && contains(address, gateway),
  );
  // A macvlan's container is on the network itself; the host could not even reach it.
  if (target === undefined || target.parent !== undefined) return [];
  const targetAddress = addressWithoutPrefix(target.address);
  return record.hostPorts.map((port) => ({ ...port, targetAddress }));
}

/** What of the host shows in the description of its containers. */
export type Description = Pick<WiringContext, 'localNetworks' | 'gatewaySubnet'> & {
  readonly resolver: HostResolver;
};

export function describeSandbox(record: SandboxRecord, context: Description): AttachedSandbox {
  const { spec, attachments, hostPorts } = record;
  const gateway = defaultGatewayOf(attachments, context);
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

export function describeInterface(
  attachment: Attachment,
  context: Pick<WiringContext, 'localNetworks' | 'gatewaySubnet'>,
): AttachedInterface {
  const { kind, networkId, link, address, address6 } = attachment;
  const gateway = {
    overlay: undefined,
    local: context.localNetworks.get(networkId)?.gateway,
    gateway: gatewayOf(context.gatewaySubnet),
  }[kind];
  return { networkId, link, address, address6, gateway, mac: macOf(addressWithoutPrefix(address)) };
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
