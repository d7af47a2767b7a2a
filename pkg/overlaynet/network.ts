import type { Logger } from '../io/index.ts';
import type { HostNetworkCheck, NetworkTable } from '../model/index.ts';

/** Who this host is in its cluster; both empty while it is in none. */
export interface HostIdentity {
  readonly nodeId: string;
  /** This host's address, IPv4 or IPv6: source of VXLAN packets. */
  readonly underlayAddress: string;
}

/** How the host itself resolves names (resolv.conf(5)). */
export interface HostResolver {
  /** Asked for names that are not ours, `address` or `address:port`, from the host's namespace, in order. */
  readonly servers: readonly string[];
  /** Copied into containers that set none. */
  readonly search: readonly string[];
  /** Likewise. */
  readonly options: readonly string[];
}

export interface HostNetworkOptions extends HostIdentity {
  /** Network namespace pins, sandbox records and local networks live here; must survive an agent restart, not a reboot. */
  readonly runDir: string;
  /** Path of the host's network namespace; the one this process runs in when absent. */
  readonly netns?: string | undefined;
  /** Asked for every foreign name and every new container: it may change at any time. */
  readonly resolver: () => HostResolver;
  readonly log: Logger;
  /**
   * Path within the v2 tree of the cgroup that containers are in or below. Present: their TCP sockets choose a backend when
   * they connect, where the kernel can.
   */
  readonly cgroup?: string | undefined;
  /** Bridge for outbound traffic of containers that have overlay networks only; default 172.18.0.0/16. */
  readonly gatewaySubnet?: string | undefined;
  /**
   * `preserve` (default): a mesh backend sees the client's address on whichever node it came in.
   * `masquerade`: it sees the entry node's, as Docker Swarm shows it.
   */
  readonly ingressMode?: 'preserve' | 'masquerade' | undefined;
}

/** A network of this host alone: a Linux bridge with NAT, or macvlan links on one of its links. */
export interface LocalNetworkSpec {
  readonly networkId: string;
  readonly name: string;
  /**
   * Link of the host: containers are put on its network with MAC addresses of their own (macvlan) instead of behind a
   * bridge. `subnet` must be given then.
   */
  readonly parent?: string | undefined;
  /** `172.20.0.0/16`; picked from free 172.16.0.0/12 blocks when absent. */
  readonly subnet?: string | undefined;
  /** Part of the subnet that containers without a wish get addresses from; all of it when absent. */
  readonly range?: string | undefined;
  readonly gateway?: string | undefined;
  /** Present: containers have IPv6 addresses too. Bridges alone. */
  readonly ipv6?: LocalIpv6Spec | undefined;
  /** Addresses that no container gets without asking for it. */
  readonly reserved?: readonly string[] | undefined;
  /** Name of the bridge link, at most 15 bytes; derived from the id when absent. */
  readonly bridge?: string | undefined;
  /** No way out and no published ports. */
  readonly internal?: boolean | undefined;
  readonly mtu?: number | undefined;
}

interface LocalIpv6Spec {
  /** `fd00:5::/64`; the next /64 of a unique local prefix when absent. */
  readonly subnet?: string | undefined;
  readonly range?: string | undefined;
  readonly gateway?: string | undefined;
}

export interface LocalNetwork {
  readonly networkId: string;
  readonly name: string;
  /** Macvlan: there is no bridge. */
  readonly parent?: string | undefined;
  readonly subnet: string;
  readonly range?: string | undefined;
  readonly gateway: string;
  readonly ipv6?:
    | {
        readonly subnet: string;
        readonly range?: string | undefined;
        readonly gateway: string;
      }
    | undefined;
  readonly reserved?: readonly string[] | undefined;
  readonly bridge: string;
  readonly internal: boolean;
  readonly mtu: number;
}

/** Overlay attachment: the allocator chose the address, the network must be in the tables given before. */
export interface OverlayAttachment {
  readonly networkId: string;
  /** With prefix length: `10.0.1.5/24`. */
  readonly address: string;
  /** `fd00::5/64`, on a network that has both. */
  readonly address6?: string | undefined;
}

export interface LocalAttachment {
  readonly networkId: string;
  /** Without prefix; picked from the subnet when absent. */
  readonly address?: string | undefined;
  /** Likewise, on a network that has IPv6. */
  readonly address6?: string | undefined;
  readonly aliases?: readonly string[] | undefined;
}

/** A network that a running container is put on. */
export type ConnectedNetwork = LocalAttachment | OverlayAttachment;

export interface HostPort {
  readonly protocol: 'tcp' | 'udp';
  /** Port in the container. */
  readonly targetPort: number;
  /** Port of this host; 0 picks a free one from 32768 up. */
  readonly publishedPort: number;
  /** Only on this address of the host. */
  readonly hostIp?: string | undefined;
  /** Only on these addresses, prefixes and links of the host. */
  readonly listenOn?: readonly string[] | undefined;
}

/** What `attach` needs to know of a container; its network namespace exists and is otherwise empty. */
export interface SandboxSpec {
  readonly containerId: string;
  /** `/proc/<pid>/ns/net` or a pinned path. */
  readonly netns: string;
  /** Container name, answered by DNS on its local networks. */
  readonly name: string;
  readonly hostname: string;
  readonly overlays: readonly OverlayAttachment[];
  readonly localNetworks?: readonly LocalAttachment[] | undefined;
  readonly hostPorts?: readonly HostPort[] | undefined;
  readonly dns?:
    | {
        /** Ask these instead of the host's resolvers. */
        readonly servers?: readonly string[] | undefined;
        readonly search?: readonly string[] | undefined;
        readonly options?: readonly string[] | undefined;
      }
    | undefined;
  /** `name:address`, as `--add-host` takes them. */
  readonly extraHosts?: readonly string[] | undefined;
}

export interface AttachedInterface {
  /** Empty for the outbound gateway bridge. */
  readonly networkId: string;
  readonly link: string;
  /** With prefix length. */
  readonly address: string;
  readonly address6?: string | undefined;
  readonly gateway?: string | undefined;
  readonly gateway6?: string | undefined;
  readonly mac: string;
}

export interface AttachedSandbox {
  readonly containerId: string;
  readonly interfaces: readonly AttachedInterface[];
  /** Published ports with 0 resolved. */
  readonly hostPorts: readonly HostPort[];
  /** Text for the container's `/etc/resolv.conf`. */
  readonly resolvConf: string;
  /** Text for the container's `/etc/hosts`. */
  readonly hosts: string;
}

export interface RepairReport {
  /** Kernel objects that had to be put back; 0 when the kernel still held everything. */
  readonly repairs: number;
  /** One line per repaired namespace or table. */
  readonly findings: readonly string[];
}

export interface KernelAbilities {
  /** Overlay networks can be encrypted (ESP). */
  readonly canEncrypt: boolean;
  readonly hasIpv6: boolean;
}

/**
 * The networks of one host: overlays, virtual IPs, DNS, published ports, local bridges. Every method is level-triggered
 * and may be repeated. Kernel failures throw `SyscallError`; refusals are `ClusterError`.
 */
export interface HostNetwork {
  /** The host joined a cluster, under this name: said before the first tables of it are applied. */
  become(self: HostIdentity): void;
  abilities(): KernelAbilities;
  /**
   * Makes the kernel hold exactly these networks. When it returns, new connections follow the tables: an endpoint that
   * is not `in-service`, or gone, gets none. Synchronous.
   * @returns the revision that the kernel now holds, per network
   */
  applyTables(tables: readonly NetworkTable[]): ReadonlyMap<string, number>;
  /**
   * Resolves when UDP flows to endpoints that the tables applied so far took out of service chose others: 0.25 s at
   * most, plus the reading. Then no host knows a reason to send such an endpoint anything but open TCP connections.
   */
  flowsForgotten(): Promise<void>;
  /** Makes or finds a local network; idempotent by `networkId`. Throws `conflict` when the subnet overlaps another one or the host's. */
  ensureLocalNetwork(spec: LocalNetworkSpec): LocalNetwork;
  /** Throws `conflict` while containers are attached; unknown ids are ignored. */
  removeLocalNetwork(networkId: string): void;
  localNetworks(): readonly LocalNetwork[];
  /**
   * Wires a container: links, addresses, routes, virtual IPs, DNS, outbound NAT, host ports. Undoes itself on failure.
   * Repeating it for an attached container returns what is there; with another `netns` it is wired anew.
   */
  attach(spec: SandboxSpec): Promise<AttachedSandbox>;
  /**
   * Adds or removes one network of a running container (`docker network connect`). An overlay must be in the tables.
   */
  connect(containerId: string, attachment: ConnectedNetwork): AttachedInterface;
  disconnect(containerId: string, networkId: string): void;
  inspect(containerId: string): AttachedSandbox | undefined;
  /** Frees everything of a container, whether its processes are alive or not; unknown ids are ignored. */
  detach(containerId: string): Promise<void>;
  /**
   * After an agent restart: takes over the containers that still live (id → netns path) from the records in `runDir`,
   * serves their DNS again and forgets all others.
   * @returns ids that had no record; attach them or stop them
   */
  readopt(live: ReadonlyMap<string, string>): Promise<readonly string[]>;
  /** Reads the kernel back and repairs differences, with turns of the event loop in between. The caller runs it every 9 s. */
  repair(): Promise<RepairReport>;
  /**
   * The same only where the kernel told that somebody else changed something since the last call; microseconds when it
   * did not. A namespace that was looked at is left alone for five calls. The caller runs it five times a second.
   */
  repairChanged(): RepairReport;
  /**
   * Looks whether the kernel is as the table says, and asks every address of the network from every container on it,
   * two seconds at most; repairs nothing. Undefined for a network that this host has no table of.
   */
  check(networkId: string): Promise<HostNetworkCheck | undefined>;
  /** Closes sockets and leaves the kernel as it is: containers keep talking while the agent restarts. */
  dispose(): Promise<void>;
  /** Detaches all and removes links, tables, routes and pins: the kernel is as before (`swarm leave`, uninstall). */
  removeEverything(): Promise<void>;
}
