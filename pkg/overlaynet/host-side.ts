import type { NetworkTable } from '../model/index.ts';
import { AppliedRulesets } from './applied-rulesets.ts';
import { desiredHost } from './desired.ts';
import { addressWithoutPrefix } from './expression.ts';
import { IPV4, IPV6, IPV6_THERE } from './family.ts';
import { COUNT_PACKETS } from './forget-connections.ts';
import { guardRuleset, guardTable } from './guard.ts';
import { HostEncryption } from './host-encryption.ts';
import { gatewayAddress, ingressHostRuleset } from './ingress.ts';
import type { Kernel, Namespace } from './kernel/kernel.ts';
import type { HostPrefix } from './local-networks.ts';
import { GATEWAY_BRIDGE, INGRESS_LINK, isLeavingTable, isOurTable, TABLE_PREFIX } from './name.ts';
import type { HostNetworkOptions, KernelAbilities, LocalNetwork } from './network.ts';
import { type HostBridge, hostRuleset } from './publish.ts';
import { ensureSysctls, type PortFailure, reconcile } from './reconcile.ts';
import type { Ruleset } from './ruleset.ts';
import type { Sandbox } from './sandbox.ts';
import { defaultGatewayOf, gatewayOf, publishedPortsOf } from './wiring.ts';

/** With it, frames between two ports of one bridge pass the packet rules too; absent where the module is not loaded. */
const DEFAULT_MTU = 1500;
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
  readonly encryption: HostEncryption;
  /** Whose foot in the ingress network this is; changes when the host joins a cluster. */
  nodeId: string;
  readonly gatewaySubnet: string;
  readonly #ingressMode: 'preserve' | 'masquerade';
  readonly #onPortFailure: PortFailure;
  #sysctlsBefore: Readonly<Record<string, string>>;
  readonly #applied = new Map<string, string>();
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
    this.encryption = new HostEncryption(options.namespace.security);
    this.nodeId = options.nodeId;
    this.gatewaySubnet = options.gatewaySubnet;
    this.#ingressMode = options.ingressMode;
    this.#sysctlsBefore = options.sysctlsBefore;
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
    const hasIpv6 = this.namespace.readSysctl(IPV6_THERE) !== undefined;
    return { canEncrypt: this.encryption.canEncrypt(self), hasIpv6 };
  }

  /** What the host reaches by its links: their own networks and static routes. IPv4 alone. */
  prefixes(): readonly HostPrefix[] {
    const { addresses, routes } = this.namespace.observe('links');
    const ways = [
      ...addresses.map(({ link, address }) => ({ link, destination: address })),
      ...routes.map(({ link, destination }) => ({ link, destination })),
    ];
    return ways.filter(
      ({ link, destination }) =>
        link !== 'lo' && destination !== 'default' && IPV4.has(destination),
    );
  }

  /** Returns the number of link operations. */
  settle(state: HostState): number {
    const { localNetworks, sandboxes, ingress } = state;
    const usesGateway = sandboxes.some(({ attachments }) =>
      attachments.some(({ kind }) => kind === 'gateway'),
    );
    const gateway = gatewayOf(this.gatewaySubnet);
    const prefix = this.gatewaySubnet.split('/')[1];
    const foot = ingress && gatewayAddress(ingress.table, this.nodeId);
    const operations = reconcile(
      this.namespace,
      desiredHost({
        ...state,
        isolate: this.namespace.readSysctl(BRIDGE_FILTER) === undefined,
        gateway: usesGateway ? `${gateway}/${prefix}` : undefined,
        ingress: ingress && foot !== undefined ? { address: foot, mtu: ingress.mtu } : undefined,
      }),
      this.#onPortFailure,
    );
    const local = localNetworks.filter(({ parent }) => parent === undefined);
    const bridges: HostBridge[] = local.map(({ bridge, subnet, internal }) => ({
      link: bridge,
      subnet,
      internal,
      walled: false,
    }));
    if (usesGateway) {
      const subnet = this.gatewaySubnet;
      bridges.push({ link: GATEWAY_BRIDGE, subnet, internal: false, walled: true });
    }
    this.#settleSysctls(bridges, foot !== undefined);
    this.#settleTables(state, bridges, foot !== undefined);
    return operations;
  }

  /**
   * Takes frames of these networks from their peers alone, and of those that are encrypted no others.
   * @param self address of this host's tunnel ends
   * @returns why encrypted networks cannot be used here
   */
  guard(tables: readonly NetworkTable[], self: string): Error | undefined {
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
    return this.encryption.settle(tables, self);
  }

  deleteLink(name: string): void {
    this.namespace.apply([{ do: 'delete-link', name }]);
  }

  /** Forgets tracked connections that any of these addresses answers. */
  forgetConnections(addresses: ReadonlySet<string>): void {
    const found = this.namespace.connections(({ replySource }) => addresses.has(replySource));
    for (const tracked of found) this.namespace.forgetConnection(tracked);
  }

  removeEverything(localNetworks: readonly LocalNetwork[]): void {
    this.encryption.removeEverything();
    for (const { bridge } of localNetworks) this.deleteLink(bridge);
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
    const before = ensureSysctls(this.namespace, HOST_SYSCTLS);
    // The first value seen is the host's own; later ones are ours.
    this.#sysctlsBefore = { ...before, ...this.#sysctlsBefore };
    for (const link of links) {
      // Lets 127.0.0.1:<published port> leave over this link; the settings go with the link.
      ensureSysctls(this.namespace, { [`net/ipv4/conf/${link}/route_localnet`]: '1' });
    }
  }

  #settleTables(state: HostState, bridges: readonly HostBridge[], mesh: boolean): void {
    const context = {
      localNetworks: new Map(state.localNetworks.map((network) => [network.networkId, network])),
      gatewaySubnet: this.gatewaySubnet,
    };
    const ports = state.sandboxes.flatMap(({ record }) =>
      publishedPortsOf(record, defaultGatewayOf(record.attachments, context)),
    );
    if (bridges.length > 0) this.#applyTable(hostRuleset(bridges, ports));
    else this.#removeTable(`${TABLE_PREFIX}host`);
    if (state.ingress !== undefined && mesh) {
      const localSubnets = bridges.map(({ subnet }) => subnet);
      const options = { mode: this.#ingressMode, localSubnets, nodeId: this.nodeId };
      this.#applyTable(ingressHostRuleset(state.ingress.table, options));
    } else {
      this.#removeTable(`${TABLE_PREFIX}ingress`);
    }
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
