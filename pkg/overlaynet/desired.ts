import { isIpv6, TABLE_LOCAL, TABLE_MAIN } from 'vxlan-netlink';
import type { NetworkTable } from '../model/index.ts';
import { contains } from './address-pool.ts';
import { encryptedPort } from './encryption.ts';
import { addressWithoutPrefix, macOf } from './expression.ts';
import { IPV6, IPV6_MTU_MIN, isLinkLocal, linkLocalOf } from './family.ts';
import {
  footAddresses,
  gatewayAddresses,
  ingressReturnRoutes,
  RULE_PRIORITIES,
} from './ingress.ts';
import type {
  DesiredLink,
  FdbEntry,
  LinkAddress,
  Namespace,
  Neighbour,
  Route,
} from './kernel/kernel.ts';
import {
  BRIDGE,
  GATEWAY_BRIDGE,
  HOST_LINK_PREFIX,
  HUB_LINK_PREFIX,
  INGRESS_HUB_LINK,
  INGRESS_LINK,
  TUNNEL,
} from './name.ts';
import type { LocalNetwork } from './network.ts';
import { peersOf } from './peers.ts';
import type { DesiredNamespace } from './plan.ts';
import type { Attachment } from './record.ts';
import { addressesOn } from './wiring.ts';

/** A container as the planners see it. */
export interface WiredSandbox {
  readonly namespace: Namespace;
  readonly attachments: readonly Attachment[];
}

interface Self {
  readonly nodeId: string;
  /** Source address of the tunnel. */
  readonly underlayAddress: string;
  /** Of the network's links. */
  readonly mtu: number;
}

export interface HubContext extends Self {
  readonly host: Namespace;
  readonly checksumOffload: boolean;
  readonly sandboxes: readonly WiredSandbox[];
  readonly prune: boolean;
}

/**
 * An overlay's hidden namespace: one bridge, one VXLAN port, one veth per container of this host, and a static entry
 * for every address of the network, so that nothing is ever flooded or learned.
 */
export function desiredHub(table: NetworkTable, context: HubContext): DesiredNamespace {
  const { mtu, host, prune } = context;
  const links: DesiredLink[] = [
    { kind: 'bridge', name: BRIDGE, mtu },
    {
      kind: 'vxlan',
      name: TUNNEL,
      mtu,
      master: BRIDGE,
      vni: table.vni,
      local: context.underlayAddress,
      port: table.encryption ? encryptedPort(table) : table.dataPathPort,
      checksumOffload: context.checksumOffload,
      underlay: host,
    },
  ];
  const fdb: FdbEntry[] = [];
  const elsewhere = holdersElsewhere(table, context.nodeId);
  const addPort = (
    name: string,
    address: string,
    peer: { link: string; namespace: Namespace },
  ): void => {
    const mac = macOf(address);
    links.push({
      kind: 'veth',
      name,
      mtu,
      master: BRIDGE,
      peer: { name: peer.link, mac, mtu, namespace: peer.namespace },
    });
    // A container that is still here after its address was given to another node is not sent to any more.
    if (!elsewhere.has(address)) fdb.push({ link: name, mac });
  };
  for (const { namespace, attachments } of context.sandboxes) {
    for (const { networkId, link, hostLink, address } of attachments) {
      if (networkId !== table.networkId) continue;
      addPort(hostLink, addressWithoutPrefix(address), { link, namespace });
    }
  }
  const [foot] = table.ingress ? footAddresses(table, context.nodeId) : [];
  if (foot !== undefined) {
    addPort(INGRESS_HUB_LINK, addressWithoutPrefix(foot), { link: INGRESS_LINK, namespace: host });
  }
  const remote = remoteEntries(table, context, elsewhere);
  return {
    links,
    addresses: [],
    routes: [],
    rules: [],
    neighbours: remote.neighbours,
    fdb: [...fdb, ...remote.fdb],
    ownsEntries: true,
    ownedLinkPrefix: HUB_LINK_PREFIX,
    prune,
  };
}

/** The static entries that lead to these endpoints, without those of this node. */
export function waysTo(
  table: NetworkTable,
  self: Self,
  endpoints: NetworkTable['endpoints'],
): Pick<DesiredNamespace, 'neighbours' | 'fdb'> {
  const part = { ...table, endpoints, gateways: [] };
  return remoteEntries(part, self, holdersElsewhere(part, self.nodeId));
}

interface Holder {
  readonly nodeId: string;
  /** Of the link that has the address; a link's IPv6 address is behind the MAC of its IPv4 one. */
  readonly mac: string;
}

/** Holder of every address of the network that is not held here. */
function holdersElsewhere(table: NetworkTable, nodeId: string): ReadonlyMap<string, Holder> {
  const holders = new Map<string, Holder>();
  const note = (holder: string, addresses: readonly string[]): void => {
    const [first] = addresses;
    if (first === undefined) return;
    const mac = macOf(first);
    for (const address of addresses) holders.set(address, { nodeId: holder, mac });
  };
  for (const endpoint of table.endpoints) note(endpoint.nodeId, endpoint.addresses);
  for (const { nodeId: holder, address } of table.gateways) {
    note(holder, gatewayAddresses(table, address));
  }
  return new Map([...holders].filter(([, holder]) => holder.nodeId !== nodeId));
}

function remoteEntries(
  table: NetworkTable,
  { underlayAddress, mtu }: Self,
  holders: ReadonlyMap<string, Holder>,
): { readonly neighbours: readonly Neighbour[]; readonly fdb: readonly FdbEntry[] } {
  const reached = new Set(peersOf([table], underlayAddress));
  const peers = table.peers.filter(({ address }) => reached.has(address));
  const tunnels = new Map<string, string>(peers.map((peer) => [peer.nodeId, peer.address]));
  const neighbours: Neighbour[] = [];
  const fdb: FdbEntry[] = [];
  for (const [address, { nodeId, mac }] of holders) {
    const tunnel = tunnels.get(nodeId);
    if (tunnel === undefined) continue;
    if (fits(address, mtu)) neighbours.push({ link: TUNNEL, address, mac });
    if (!isIpv6(address)) fdb.push({ link: TUNNEL, mac, tunnel }, { link: TUNNEL, mac });
  }
  return { neighbours, fdb };
}

export interface HostContext {
  readonly localNetworks: readonly LocalNetwork[];
  /** Addresses of the gateway bridge with prefix length; undefined before a container needed it. */
  readonly gateway: readonly string[] | undefined;
  /** Addresses of this host in the ingress network. */
  readonly ingress: { readonly addresses: readonly string[]; readonly mtu: number } | undefined;
  readonly sandboxes: readonly WiredSandbox[];
  readonly mtu: number;
  /** Wall off the gateway bridge's ports from each other at the bridge, where packet rules do not see their frames. */
  readonly isolate: boolean;
  readonly prune: boolean;
}

/** Our links in the host's namespace. */
export function desiredHost(context: HostContext): DesiredNamespace {
  const local = context.localNetworks.filter(({ parent }) => parent === undefined);
  const bridges = local.map((network) => ({
    name: network.bridge,
    addresses: [network, ...(network.ipv6 ? [network.ipv6] : [])].map(
      ({ gateway, subnet }) => `${gateway}/${subnet.split('/')[1]}`,
    ) as readonly string[],
    mtu: network.mtu,
    networkId: network.networkId,
    isolated: false,
  }));
  if (context.gateway !== undefined) {
    const { gateway: addresses, mtu, isolate: isolated } = context;
    bridges.push({ name: GATEWAY_BRIDGE, addresses, mtu, networkId: '', isolated });
  }
  const links: DesiredLink[] = [];
  const addresses: LinkAddress[] = [];
  for (const { name, addresses: own, mtu } of bridges) {
    links.push({ kind: 'bridge', name, mtu, mac: macOf(addressWithoutPrefix(own[0] ?? '')) });
    addresses.push(...onRoutingLink(name, own, mtu));
  }
  const byNetwork = new Map(bridges.map((bridge) => [bridge.networkId, bridge]));
  for (const { namespace, attachments } of context.sandboxes) {
    for (const attachment of attachments) {
      const bridge =
        attachment.kind === 'overlay' ? undefined : byNetwork.get(attachment.networkId);
      if (bridge === undefined) continue;
      const mac = macOf(addressWithoutPrefix(attachment.address));
      links.push({
        kind: 'veth',
        name: attachment.hostLink,
        mtu: bridge.mtu,
        master: bridge.name,
        isolated: bridge.isolated,
        hairpin: true,
        peer: { name: attachment.link, mac, mtu: bridge.mtu, namespace },
      });
    }
  }
  if (context.ingress !== undefined) {
    const { addresses: own, mtu } = context.ingress;
    links.push({ kind: 'present', name: INGRESS_LINK, mtu });
    addresses.push(...onRoutingLink(INGRESS_LINK, own, mtu));
  }
  return {
    links,
    addresses,
    routes: addresses
      .filter(({ address }) => isLinkLocal(address))
      .map(({ link }) => loopbackBy(link)),
    rules: [],
    neighbours: [],
    fdb: [],
    ownedLinkPrefix: HOST_LINK_PREFIX,
    prune: context.prune,
  };
}

function onLink(
  link: string,
  addresses: readonly string[],
  mtu: number | undefined,
): readonly LinkAddress[] {
  return addresses.filter((one) => fits(one, mtu)).map((address) => ({ link, address }));
}

/** The kernel has no IPv6 on links that are too narrow for it. */
function fits(address: string, mtu = IPV6_MTU_MIN): boolean {
  return mtu >= IPV6_MTU_MIN || !isIpv6(address);
}

/**
 * With a link-local one beside an address of IPv6: the kernel asks for the neighbours of packets that it only forwards
 * from that address, and without one does not ask at all.
 */
function onRoutingLink(
  link: string,
  addresses: readonly string[],
  mtu: number,
): readonly LinkAddress[] {
  const all = onLink(link, addresses, mtu);
  const [first] = addresses;
  if (first === undefined || !all.some(({ address }) => isIpv6(address))) return all;
  return [...all, { link, address: `${linkLocalOf(addressWithoutPrefix(first))}/64` }];
}

/**
 * Answers to what the host asked of its own [::1]:port come back by one of our links, and are turned back to ::1 there.
 * Without this the kernel takes that for an address of `lo` alone. From the wire it takes no packet to ::1 at all.
 */
function loopbackBy(link: string): Route {
  return { destination: IPV6.loopback, link, table: TABLE_LOCAL, onLink: false, local: true };
}

export interface SandboxContext {
  readonly host: Namespace;
  readonly attachments: readonly Attachment[];
  /** At most one of each family. */
  readonly defaultGateways: readonly string[];
  /** The ingress network's table when the container takes part in it and keeps client addresses. */
  readonly ingressTable: NetworkTable | undefined;
  /** Of an overlay's links. */
  readonly mtuOf: (networkId: string) => number | undefined;
}

/** A container's side. Its links are born by the other ends; here they come up and get addresses and routes. */
export function desiredSandbox(context: SandboxContext): DesiredNamespace {
  const { attachments, defaultGateways, ingressTable } = context;
  const ingress = attachments.find(({ networkId }) => networkId === ingressTable?.networkId);
  const back =
    ingressTable === undefined || ingress === undefined
      ? { rules: [], routes: [] }
      : ingressReturnRoutes(ingressTable, ingress.link);
  const addresses = attachments.flatMap((attachment) =>
    onLink(attachment.link, addressesOn(attachment), context.mtuOf(attachment.networkId)),
  );
  const hasIpv6 = (link: string): boolean =>
    addresses.some((one) => one.link === link && isIpv6(one.address));
  const routes = [
    ...defaultGateways.flatMap((gateway) => defaultRoute(attachments, gateway) ?? []),
    ...back.routes,
  ];
  return {
    links: [
      { kind: 'present', name: 'lo' },
      ...attachments.map(({ link, address, parent, networkId }): DesiredLink => {
        const mac = macOf(addressWithoutPrefix(address));
        const common = { name: link, mac, mtu: context.mtuOf(networkId) };
        if (parent === undefined) return { kind: 'present', ...common };
        return { kind: 'macvlan', ...common, parent, underlay: context.host };
      }),
    ],
    addresses,
    routes: routes.filter(({ gateway = '', link }) => !isIpv6(gateway) || hasIpv6(link)),
    rules: back.rules,
    neighbours: [],
    fdb: [],
    ownedRulePriorities: Object.values(RULE_PRIORITIES),
    prune: true,
  };
}

function defaultRoute(attachments: readonly Attachment[], gateway: string): Route | undefined {
  const way = attachments.find(
    (attachment) =>
      attachment.kind !== 'overlay' &&
      addressesOn(attachment).some((address) => contains(address, gateway)),
  );
  if (way === undefined) return undefined;
  return { destination: 'default', link: way.link, gateway, table: TABLE_MAIN, onLink: false };
}
