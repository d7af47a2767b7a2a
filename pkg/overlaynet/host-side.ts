import type { NetworkTable } from '../model/index.ts';
import { AppliedRulesets } from './applied-rulesets.ts';
import { desiredHost } from './desired.ts';
import { Destinations } from './destinations.ts';
import { addressWithoutPrefix } from './expression.ts';
import { type Family, familiesOf, IPV4, IPV6, IPV6_THERE, isLinkLocal } from './family.ts';
import { COUNT_PACKETS } from './forget-connections.ts';
import { guardRuleset, guardTable } from './guard.ts';
import { HostEncryption } from './host-encryption.ts';
import { ipv6ForwardingSysctls, ipv6LinkSysctls, neighbourSysctls } from './host-sysctls.ts';
import { footAddresses, ingressHostRuleset } from './ingress.ts';
import type { Kernel, Namespace } from './kernel/kernel.ts';
import type { HostPrefix } from './local-networks.ts';
import {
  GATEWAY_BRIDGE,
  INGRESS_LINK,
  INGRESS_TABLE,
  isLeavingTable,
  isOurTable,
  TABLE_PREFIX,
} from './name.ts';
import type { HostNetworkOptions, KernelAbilities, LocalNetwork } from './network.ts';
import type { DesiredNamespace } from './plan.ts';
import { type HostBridge, hostRuleset } from './publish.ts';
import { addLinks, ensureSysctls, type PortFailure, reconcile } from './reconcile.ts';
import type { Ruleset } from './ruleset.ts';
import { isSameList } from './same-list.ts';
import type { Sandbox } from './sandbox.ts';
import { defaultGatewaysOf, gatewayOf, publishedPortsOf } from './wiring.ts';

const DEFAULT_MTU = 1500;
/** With it, frames between two ports of one bridge pass the packet rules too; absent where the module is not loaded. */
const BRIDGE_FILTER = 'net/bridge/bridge-nf-call-iptables';
const HOST_SYSCTLS = {
  'net/ipv4/ip_forward': '1',
  [BRIDGE_FILTER]: '1',
  [COUNT_PACKETS]: '1',
} as const;

export interface HostState {
  readonly localNetworks: readonly LocalNetwork[];
  readonly sandboxes: readonly Sandbox[];
  readonly ingress: { readonly table: NetworkTable; readonly mtu: number } | undefined;
  readonly mtu: number;
  readonly prune: boolean;
}

const DEFAULT_GATEWAY_SUBNET = '172.18.0.0/16';
/** Unique local (RFC 4193) and the same on every host: its addresses are always masqueraded. */
const GATEWAY_SUBNET6 = 'fd6d:7573:7465:72::/64';

export function openHostSide(
  kernel: Kernel,
  options: HostNetworkOptions,
  sysctlsBefore: Readonly<Record<string, string>>,
  onPortFailure: PortFailure,
): HostSide {
  return new HostSide({
    namespace: kernel.open(options.netns),
    gatewaySubnet: options.gatewaySubnet ?? DEFAULT_GATEWAY_SUBNET,
    nodeId: options.nodeId,
    ingressMode: options.ingressMode ?? 'preserve',
    sysctlsBefore,
    onPortFailure,
  });
}

/** What we keep in the host's own namespace: bridges, the mesh's foot, two nf_tables tables, forwarding. */
export class HostSide {
  readonly namespace: Namespace;
  readonly rulesets: AppliedRulesets;
  readonly destinations: Destinations;
  readonly encryption: HostEncryption;
  /** Whose foot in the ingress network this is; changes when the host joins a cluster. */
  nodeId: string;
  readonly gatewaySubnet: string;
  readonly #ingressMode: 'preserve' | 'masquerade';
  readonly #onPortFailure: PortFailure;
  #sysctlsBefore: Readonly<Record<string, string>>;
  #hasRaisedLimits = false;
  readonly #applied = new Map<string, string>();
  readonly #hasIpv6: boolean;
  /** What `guard` was asked for when it last did all of it. */
  #guarded: readonly unknown[] = [];
  /** Subnets of the gateway bridge, which stays once a container needed it: to delete it takes 50 ms each time. */
  #gatewaySubnets: readonly string[] = [];
  #closed = false;

  constructor(options: {
    readonly namespace: Namespace;
    readonly nodeId: string;
    readonly gatewaySubnet: string;
    readonly ingressMode: 'preserve' | 'masquerade';
    readonly sysctlsBefore: Readonly<Record<string, string>>;
    readonly onPortFailure: PortFailure;
  }) {
    this.#onPortFailure = options.onPortFailure;
    this.namespace = options.namespace;
    this.rulesets = new AppliedRulesets(options.namespace);
    this.destinations = new Destinations(options.namespace, this.rulesets, INGRESS_LINK);
    this.encryption = new HostEncryption(options.namespace.security);
    this.nodeId = options.nodeId;
    this.gatewaySubnet = options.gatewaySubnet;
    this.#ingressMode = options.ingressMode;
    this.#sysctlsBefore = options.sysctlsBefore;
    this.#hasIpv6 = this.namespace.readSysctl(IPV6_THERE) !== undefined;
    // Of an agent before, which did not come to their end.
    for (const table of this.namespace.tables().filter(isLeavingTable))
      this.rulesets.discard(table);
  }

  /** Settings of the host as they were before the first change. */
  get sysctlsBefore(): Readonly<Record<string, string>> {
    return this.#sysctlsBefore;
  }

  /** Of the link that holds the address. */
  mtuOf(address: string): number {
    const { links, addresses } = this.namespace.observe('links');
    const holder = addresses.find((entry) => addressWithoutPrefix(entry.address) === address);
    return links.find((link) => link.name === holder?.link)?.mtu ?? DEFAULT_MTU;
  }

  /** @param self address of this host, of the family that it would encrypt */
  abilities(self: string): KernelAbilities {
    return { canEncrypt: this.encryption.canEncrypt(self), hasIpv6: this.#hasIpv6 };
  }

  /** Of the gateway bridge. */
  get gatewaySubnets(): readonly string[] {
    return [this.gatewaySubnet, GATEWAY_SUBNET6];
  }

  /** Of the gateway bridge; undefined on a host without IPv6. */
  get gatewaySubnet6(): string | undefined {
    return this.#hasIpv6 ? GATEWAY_SUBNET6 : undefined;
  }

  /** What the host reaches by its links: their own networks and static routes. */
  prefixes(): readonly HostPrefix[] {
    const { addresses, routes } = this.namespace.observe('links');
    const ways = [
      ...addresses.map(({ link, address }) => ({ link, destination: address })),
      ...routes.map(({ link, destination }) => ({ link, destination })),
    ];
    return ways.filter(
      ({ link, destination }) =>
        link !== 'lo' && destination !== 'default' && !isLinkLocal(destination),
    );
  }

  /** Returns the number of link operations. */
  settle(state: HostState): number {
    const { ingress } = state;
    this.#noteGateway(state.sandboxes);
    const subnets = this.#gatewaySubnets;
    const gateway = subnets.map((subnet) => `${gatewayOf(subnet)}/${subnet.split('/')[1]}`);
    const feet = ingress ? footAddresses(ingress.table, this.nodeId) : [];
    const desired = desiredHost({
      ...state,
      isolate: !this.#hasBridgeFilter(),
      gateway: gateway.length > 0 ? gateway : undefined,
      ingress: ingress && feet.length > 0 ? { addresses: feet, mtu: ingress.mtu } : undefined,
    });
    this.#allowIpv6(desired);
    const operations = reconcile(this.namespace, desired, this.#onPortFailure);
    const local = state.localNetworks.filter(({ parent }) => parent === undefined);
    const bridges: HostBridge[] = [
      ...local.flatMap(({ bridge: link, subnet, ipv6, internal }) =>
        [subnet, ...(ipv6 ? [ipv6.subnet] : [])].map((one) => {
          return { link, subnet: one, internal, walled: false };
        }),
      ),
      ...subnets.map((subnet) => {
        return { link: GATEWAY_BRIDGE, subnet, internal: false, walled: true };
      }),
    ];
    this.#settleSysctls(bridges, feet.length > 0);
    this.#settleTables(state, bridges, feet.length > 0);
    return operations;
  }

  #hasBridgeFilter(): boolean {
    return this.namespace.readSysctl(BRIDGE_FILTER) !== undefined;
  }

  #noteGateway(sandboxes: readonly Sandbox[]): void {
    const legs = sandboxes.flatMap(({ attachments }) =>
      attachments.filter(({ kind }) => kind === 'gateway'),
    );
    if (legs.length === 0 || this.#gatewaySubnets.length === 2) return;
    const hasIpv6 = legs.some(({ address6 }) => address6 !== undefined);
    const subnet6 = hasIpv6 ? this.gatewaySubnet6 : undefined;
    this.#gatewaySubnets = [this.gatewaySubnet, ...(subnet6 === undefined ? [] : [subnet6])];
  }

  /** On our own links that get such addresses: the host may have it off for new ones. */
  #allowIpv6(desired: DesiredNamespace): void {
    const links = desired.addresses.filter(({ address }) => isLinkLocal(address));
    if (links.length === 0) return;
    const isMissing = ({ link }: { readonly link: string }): boolean =>
      this.namespace.readSysctl(`net/ipv6/conf/${link}/disable_ipv6`) === undefined;
    if (links.some(isMissing)) {
      addLinks(this.namespace, { ...desired, addresses: [], routes: [] });
    }
    for (const { link } of links) ensureSysctls(this.namespace, ipv6LinkSysctls(link));
    this.#keepBefore(ensureSysctls(this.namespace, ipv6ForwardingSysctls(this.namespace)));
  }

  /**
   * Takes frames of these networks from their peers alone, and of those that are encrypted no others.
   * @param self address of this host's tunnel ends
   * @returns why encrypted networks cannot be used here
   */
  guard(tables: readonly NetworkTable[], self: string): Error | undefined {
    // Comes with every change of any network, mostly of nothing that it is about.
    const about = [
      self,
      ...tables.flatMap(({ vni, dataPathPort, peers, encryption }) => [
        vni,
        dataPathPort,
        peers,
        encryption,
      ]),
    ];
    if (isSameList(about, this.#guarded)) return undefined;
    this.#guarded = [];
    const wanted = tables.length > 0 ? guardRuleset(tables, self) : undefined;
    const unwanted = [IPV4, IPV6].map(guardTable).filter((table) => table !== wanted?.table);
    // That of an agent before this one, when the host had an address of the other family.
    const isFirst = wanted !== undefined && !this.#applied.has(wanted.table);
    const left = isFirst ? this.namespace.tables() : [];
    if (wanted) this.#applyTable(wanted);
    for (const table of unwanted) {
      if (left.includes(table)) this.rulesets.discard(table);
      this.#removeTable(table);
    }
    const refusal = this.encryption.settle(tables, self);
    if (refusal === undefined) this.#guarded = about;
    return refusal;
  }

  deleteLink(name: string): void {
    this.namespace.apply([{ do: 'delete-link', name }]);
  }

  /** Forgets tracked connections that any of these addresses answers. */
  forgetConnections(answeredBy: ReadonlySet<string>): void {
    this.namespace.forgetConnections(this.namespace.connections({ answeredBy }));
  }

  removeEverything(localNetworks: readonly LocalNetwork[]): void {
    this.encryption.removeEverything();
    for (const { bridge } of localNetworks) this.deleteLink(bridge);
    this.#gatewaySubnets = [];
    const nothing = { localNetworks: [], sandboxes: [], ingress: undefined, mtu: 0, prune: true };
    this.settle(nothing);
    for (const table of this.namespace.tables()) {
      if (isOurTable(table)) this.namespace.commit([{ do: 'delete-table', table }]);
    }
    ensureSysctls(this.namespace, this.#sysctlsBefore);
  }

  /** Until it is closed. */
  get isLive(): boolean {
    return !this.#closed;
  }

  close(): void {
    this.#closed = true;
    this.namespace[Symbol.dispose]();
  }

  #settleSysctls(bridges: readonly HostBridge[], mesh: boolean): void {
    const links = [...bridges.map(({ link }) => link), ...(mesh ? [INGRESS_LINK] : [])];
    if (links.length === 0) return;
    this.#keepBefore(ensureSysctls(this.namespace, HOST_SYSCTLS));
    this.#raiseNeighbourLimits();
    for (const link of links) {
      // Lets 127.0.0.1:<published port> leave over this link; the settings go with the link.
      ensureSysctls(this.namespace, { [`net/ipv4/conf/${link}/route_localnet`]: '1' });
    }
  }

  /** Once: who lowers them later means it. Where they may not be set the host's own hold. */
  #raiseNeighbourLimits(): void {
    if (this.#hasRaisedLimits) return;
    this.#hasRaisedLimits = true;
    try {
      this.#keepBefore(ensureSysctls(this.namespace, neighbourSysctls(this.namespace)));
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (!['EACCES', 'EPERM', 'EROFS'].includes(code)) throw error;
    }
  }

  /** The first value seen is the host's own; later ones are ours. */
  #keepBefore(before: Readonly<Record<string, string>>): void {
    this.#sysctlsBefore = { ...before, ...this.#sysctlsBefore };
  }

  #settleTables(state: HostState, bridges: readonly HostBridge[], mesh: boolean): void {
    const context = {
      localNetworks: new Map(state.localNetworks.map((network) => [network.networkId, network])),
      gatewaySubnet: this.gatewaySubnet,
      gatewaySubnet6: this.gatewaySubnet6,
    };
    const ports = state.sandboxes.flatMap(({ record }) =>
      publishedPortsOf(record, defaultGatewaysOf(record.attachments, context)),
    );
    const table = mesh ? state.ingress?.table : undefined;
    const bridgeFilter = this.#hasBridgeFilter();
    const meshFamilies = table ? familiesOf(table) : [];
    for (const family of [IPV4, IPV6]) {
      const own = bridges.filter(({ subnet }) => family.has(subnet));
      if (own.length > 0) this.#applyTable(hostRuleset(own, ports, { family, bridgeFilter }));
      else this.#removeTable(family.tableOf(`${TABLE_PREFIX}host`));
      if (table && meshFamilies.includes(family)) this.#applyMesh(table, own, family);
      else {
        this.#removeTable(family.tableOf(INGRESS_TABLE));
        this.destinations.drop(family);
      }
    }
  }

  #applyMesh(table: NetworkTable, bridges: readonly HostBridge[], family: Family): void {
    const localSubnets = bridges.map(({ subnet }) => subnet);
    const { nodeId } = this;
    this.destinations.keep(family);
    const options = { mode: this.#ingressMode, localSubnets, nodeId, family };
    this.#applyTable(ingressHostRuleset(table, options));
  }

  #applyTable(ruleset: Ruleset): void {
    const text = JSON.stringify(ruleset);
    if (this.#applied.get(ruleset.table) === text) return;
    this.rulesets.apply(ruleset);
    this.#applied.set(ruleset.table, text);
  }

  #removeTable(table: string): void {
    this.rulesets.remove(table);
    this.#applied.delete(table);
  }
}
