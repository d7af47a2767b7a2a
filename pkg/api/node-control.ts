import type { DockerJson } from './engine.ts';

/** What the API asks of the program it runs in about this host's membership. Wired in `cmd/agent`. */
export interface NodeControl {
  /** Makes this host the first manager of a new cluster; resolves with the node's id once the cluster answers. */
  init(request: SwarmInitRequest): Promise<string>;
  /** Resolves once this host is a member. Rejects with Docker's text for a bad token or unreachable managers. */
  join(request: SwarmJoinRequest): Promise<void>;
  /** Kind `unavailable` for a manager without `force`. */
  leave(options: { readonly force: boolean }): Promise<void>;
  unlock(key: string): Promise<void>;
  /** Cheap: called by every `_ping` and cluster request. */
  status(): NodeMembership;
}

/** `POST /swarm/init` as sent. */
export interface SwarmInitRequest {
  readonly ListenAddr?: string | undefined;
  readonly AdvertiseAddr?: string | undefined;
  readonly DataPathAddr?: string | undefined;
  readonly DataPathPort?: number | undefined;
  readonly DefaultAddrPool?: readonly string[] | null | undefined;
  readonly SubnetSize?: number | undefined;
  readonly ForceNewCluster?: boolean | undefined;
  readonly AutoLockManagers?: boolean | undefined;
  readonly Availability?: string | undefined;
  readonly Spec?: DockerJson | null | undefined;
}

/** `POST /swarm/join` as sent. */
export interface SwarmJoinRequest {
  readonly ListenAddr?: string | undefined;
  readonly AdvertiseAddr?: string | undefined;
  readonly DataPathAddr?: string | undefined;
  readonly RemoteAddrs?: readonly string[] | null | undefined;
  readonly JoinToken?: string | undefined;
  readonly Availability?: string | undefined;
}

export type LocalNodeState = 'inactive' | 'pending' | 'active' | 'error' | 'locked';

/** This host's place in a cluster, as `GET /info` shows it. */
export interface NodeMembership {
  readonly localNodeState: LocalNodeState;
  /** Empty when not in a cluster. */
  readonly nodeId: string;
  /** Advertised address, without port; empty when not in a cluster. */
  readonly nodeAddr: string;
  /** This host's manager process is up and answers. */
  readonly controlAvailable: boolean;
  readonly error: string;
  /** Managers this host knows; `Addr` is host:port. */
  readonly remoteManagers: readonly { readonly NodeID: string; readonly Addr: string }[];
}
