import type {
  Command,
  Connection,
  ConnectionsWanted,
  MarkRule,
  TableListing,
  TrackedConnection,
} from 'vxlan-netlink';
import type { ConnectHooks } from './connect-hooks.ts';
import type { Security } from './security.ts';

/** The kernel's network half in the words that this package needs; `linux.ts` is the real one, `fake.ts` the tests'. */
export interface Kernel {
  /** Makes a namespace pinned at `path`; false when it was there. */
  createNamespace(path: string): boolean;
  /** Removes the pin; missing ones are fine. */
  removeNamespace(path: string): void;
  /** @param path nothing for the namespace of this process */
  open(path?: string): Namespace;
  /** Listens in the host's namespace for changes that somebody else makes, there and in namespaces added to it. */
  watch(host: Namespace): Watch;
  /**
   * For the sockets of a cgroup and those below it; nothing is attached yet.
   * @param cgroup path within the v2 tree
   * @throws where this kernel cannot
   */
  connectHooks(cgroup: string): ConnectHooks;
  /** Resolves when no packet is under way that met rules and sets as they are now: some 10 ms. */
  packetsPassed(): Promise<void>;
}

/** `links`: with addresses, routes and rules. `entries`: neighbours and FDB. `tables`: ours of nf_tables. */
export type Change = 'links' | 'entries' | 'tables';
export const EVERY_CHANGE: ReadonlySet<Change> = new Set(['links', 'entries', 'tables']);

/** What others than this process changed, as the kernel tells it. Some may stay untold, and some be our own doing. */
export interface Watch extends Disposable {
  add(namespace: Namespace): void;
  remove(namespace: Namespace): void;
  /** Since the last call. Microseconds when there was nothing. */
  takeChanges(): ReadonlyMap<Namespace, ReadonlySet<Change>>;
}

/** An open network namespace. Every call but one is synchronous; all leave the calling thread where it was. */
export interface Namespace extends Disposable {
  /** @param tables `links`: without neighbours and FDB, which grow with the cluster */
  observe(tables?: 'all' | 'links'): ObservedNamespace;
  /** In order; stops at the first refusal. */
  apply(operations: readonly Operation[]): void;
  /**
   * Deletes links, which takes the kernel tens of milliseconds, while other work goes on. They are not observed from the
   * call on, their names are free when the promise resolves. Missing ones are fine.
   */
  removeLinks(names: readonly string[]): Promise<void>;
  /** The number that the kernel knows the namespace by, in decimal; throws on kernels that tell it to nobody. */
  cookie(): string;
  /** Value of `/proc/sys/<key>` without the line end; undefined when the kernel has no such key. */
  readSysctl(key: string): string | undefined;
  writeSysctl(key: string, value: string): void;
  /** One nf_tables transaction: all of it or nothing. @returns its number, that of the last one when it changed nothing */
  commit(commands: readonly Command[]): number;
  /** Number of the last committed transaction, whoever made it. */
  generation(): number;
  tables(): readonly string[];
  listTable(table: string): TableListing | undefined;
  /** Keys of a set's members in hexadecimal, in order; none where there is no such set. */
  setMembers(table: string, set: string): readonly string[];
  /** Of chains, rules and names of sets; members of sets are not read. */
  digestTable(table: string): string | undefined;
  /** Bound socket of this namespace for Node's `listen({ fd })`. */
  openSocket(
    protocol: 'tcp' | 'udp',
    address: string,
    port: number,
  ): { readonly fd: number; readonly port: number };
  readonly security: Security;
  /**
   * Asks an address for an ICMP echo from this namespace.
   * @param packetBytes size of the packet, which arrives in one piece or not at all; small when absent
   */
  ping(address: string, packetBytes?: number): Ping;
  /** Tries a TCP connection from this namespace; refused is answered. */
  connectTo(address: string, port: number): Ping;
  /** Tracked connections, all or some. Milliseconds, where anything is tracked at all. */
  connections(wanted?: ConnectionsWanted): readonly TrackedConnection[];
  /** Forgets one, microseconds; false when `keep` said so of what it is now. */
  forgetConnection(tracked: TrackedConnection, keep: (connection: Connection) => boolean): boolean;
  /** Forgets them whatever they are now. */
  forgetConnections(tracked: readonly TrackedConnection[]): void;
}

/** One question under way. */
export interface Ping extends Disposable {
  /** `answered`, `waiting`, or an error code such as EHOSTUNREACH. */
  answer(): string;
}

/** What a link should be. Links of kind `present` are made from the other end (veth) or by the kernel (lo). */
export type DesiredLink = {
  readonly name: string;
  readonly mtu?: number | undefined;
  readonly mac?: string | undefined;
  /** Name of the bridge it belongs to. */
  readonly master?: string | undefined;
  /** Bridge port that reaches the bridge but no other isolated port. */
  readonly isolated?: boolean | undefined;
  /** Bridge port that may send a frame back the way it came: a container that reaches its own published port. */
  readonly hairpin?: boolean | undefined;
} & (
  | { readonly kind: 'bridge' | 'present' }
  | { readonly kind: 'veth'; readonly peer: DesiredPeer }
  | { readonly kind: 'macvlan'; readonly parent: string; readonly underlay: Namespace }
  | {
      readonly kind: 'vxlan';
      readonly vni: number;
      readonly local: string;
      readonly port: number;
      /** Leave checksums of what is in the tunnel to the host's links, true when absent; not read back. */
      readonly checksumOffload?: boolean | undefined;
      /** Namespace whose addresses the tunnel uses, and whose link carries a macvlan's frames. */
      readonly underlay: Namespace;
    }
);

/** The other end of a veth pair; born in its namespace under its final name. */
export interface DesiredPeer {
  readonly name: string;
  readonly mac?: string | undefined;
  readonly mtu?: number | undefined;
  readonly namespace: Namespace;
}

export interface LinkAddress {
  readonly link: string;
  /** With prefix length. */
  readonly address: string;
}

export interface Route {
  /** `default` or a prefix. */
  readonly destination: string;
  readonly link: string;
  readonly gateway?: string | undefined;
  readonly table: number;
  readonly onLink: boolean;
  /** The destination is this namespace itself, also for what comes by this link. */
  readonly local?: true | undefined;
}

export interface Neighbour {
  readonly link: string;
  readonly address: string;
  readonly mac: string;
}

export interface FdbEntry {
  readonly link: string;
  readonly mac: string;
  /** Tunnel end on a VXLAN link; absent for a static entry of the bridge. */
  readonly tunnel?: string | undefined;
}

export interface ObservedLink {
  readonly name: string;
  readonly kind: string;
  readonly up: boolean;
  readonly mtu: number;
  readonly mac: string;
  readonly master: string;
  readonly vxlan?:
    | { readonly vni: number; readonly local: string; readonly port: number }
    | undefined;
}

/** State of a namespace; only what configuration made, not what the kernel derived or learned. */
export interface ObservedNamespace {
  readonly links: readonly ObservedLink[];
  readonly addresses: readonly LinkAddress[];
  readonly routes: readonly Route[];
  readonly rules: readonly MarkRule[];
  readonly neighbours: readonly Neighbour[];
  readonly fdb: readonly FdbEntry[];
}

export type Operation =
  | { readonly do: 'add-link'; readonly link: DesiredLink }
  | { readonly do: 'delete-link'; readonly name: string }
  | { readonly do: 'set-checksum-offload'; readonly name: string; readonly on: boolean }
  | {
      readonly do: 'change-link';
      readonly name: string;
      readonly up?: boolean | undefined;
      readonly mtu?: number | undefined;
      readonly mac?: string | undefined;
      readonly master?: string | undefined;
    }
  | {
      readonly do: 'change-port';
      readonly name: string;
      readonly learning: boolean;
      readonly isolated: boolean;
      readonly hairpin: boolean;
    }
  | { readonly do: 'add-address' | 'delete-address'; readonly address: LinkAddress }
  | { readonly do: 'add-route' | 'delete-route'; readonly route: Route }
  | { readonly do: 'add-rule' | 'delete-rule'; readonly rule: MarkRule }
  | { readonly do: 'put-neighbour' | 'delete-neighbour'; readonly neighbour: Neighbour }
  | { readonly do: 'put-fdb' | 'delete-fdb'; readonly entry: FdbEntry };
