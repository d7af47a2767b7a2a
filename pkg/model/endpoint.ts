import type { NetworkKey } from './cluster.ts';
import type { NetworkId, NodeId, ServiceId, TaskId, Version } from './id.ts';
import type { PublishedPort } from './service.ts';

/**
 * in-service: in every VIP map and DNS answer. out: still has its address (it may be starting or draining) but takes
 * no new connection.
 */
export type EndpointState = 'in-service' | 'out';

/** One task's presence on one network. */
export interface NetworkEndpoint {
  readonly taskId: TaskId;
  readonly nodeId: NodeId;
  readonly serviceId: ServiceId;
  readonly serviceName: string;
  /** `web.1`, `web.<node>` */
  readonly slotName: string;
  /** Container name: `web.1.<task>`. */
  readonly name: string;
  /** Without prefix length. */
  readonly addresses: readonly string[];
  readonly aliases: readonly string[];
  readonly state: EndpointState;
  /** Share of the service's new connections relative to its other endpoints, 1 when absent; a whole number to 100. */
  readonly weight?: number | undefined;
}

/** How the mesh serves a service's published ports, where it is not as usual. */
export interface MeshWishes {
  /** Backends see the entry node instead of the client. */
  readonly masquerade?: boolean | undefined;
  /** A node with tasks of the service of its own uses only those. */
  readonly preferLocal?: boolean | undefined;
  /** Open on these addresses, prefixes and links of each node alone. */
  readonly listenOn?: readonly string[] | undefined;
}

/** How clients of the network reach a service. */
export interface NetworkService {
  readonly serviceId: ServiceId;
  /** Empty list: service answers with the addresses of its endpoints (dnsrr). Without prefix length. */
  readonly vips: readonly string[];
  readonly name: string;
  readonly aliases: readonly string[];
  /** `client`: all connections from one address go to the same endpoint while it is in service. */
  readonly affinity?: 'client' | undefined;
  /** Names of the services whose tasks may open connections to its tasks; absent: everybody on the network. */
  readonly allowFrom?: readonly string[] | undefined;
  /** In the ingress network's table those that the mesh publishes, elsewhere all published ones: SRV records name them. */
  readonly ports: readonly PublishedPort[];
  readonly mesh?: MeshWishes | undefined;
}

/** Keys of encrypted networks: all of them are understood, one is used. */
export interface NetworkEncryption {
  readonly keys: readonly NetworkKey[];
  /** `number` of the one in use. */
  readonly current: number;
}

export interface NetworkPeer {
  readonly nodeId: NodeId;
  /** Underlay address, the VXLAN tunnel's end. */
  readonly address: string;
}

/**
 * Everything one host must know of one network, a pure function of the store (`deriveNetworkTable`). Hosts acknowledge
 * the `revision` that their kernel holds.
 */
export interface NetworkTable {
  readonly networkId: NetworkId;
  readonly name: string;
  readonly vni: number;
  readonly dataPathPort: number;
  readonly ingress: boolean;
  readonly internal: boolean;
  /** Asked for with `com.docker.network.driver.mtu`; absent: underlay less 50, or 90 when encrypted. */
  readonly mtu?: number | undefined;
  /** Traffic between hosts is encrypted with these; a host that cannot do so must not take part. */
  readonly encryption?: NetworkEncryption | undefined;
  readonly subnets: readonly { readonly subnet: string; readonly gateway: string }[];
  readonly peers: readonly NetworkPeer[];
  readonly endpoints: readonly NetworkEndpoint[];
  readonly services: readonly NetworkService[];
  /** On the ingress network every node holds an address of its own: the mesh's gateway. */
  readonly gateways: readonly { readonly nodeId: NodeId; readonly address: string }[];
  /** Index of the store when it was derived; grows with every change of what it says. */
  readonly revision: Version;
}
