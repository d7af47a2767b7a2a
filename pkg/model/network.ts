import type { InstantMs, NetworkId, Version } from './id.ts';

/** Name of the network that every node's routing mesh uses; made with the cluster. */
export const INGRESS_NETWORK_NAME = 'ingress';

/** The Engine API's IPAMConfig. */
export interface IpamConfig {
  readonly Subnet?: string | undefined;
  readonly IPRange?: string | undefined;
  readonly Gateway?: string | undefined;
  readonly AuxiliaryAddresses?: Readonly<Record<string, string>> | null | undefined;
}

/** The Engine API's NetworkCreateRequest, stored as sent. */
export interface NetworkSpec {
  readonly Name: string;
  readonly Driver?: string | undefined;
  readonly Scope?: string | undefined;
  readonly Internal?: boolean | undefined;
  readonly Attachable?: boolean | undefined;
  readonly Ingress?: boolean | undefined;
  readonly EnableIPv4?: boolean | null | undefined;
  readonly EnableIPv6?: boolean | undefined;
  readonly ConfigOnly?: boolean | undefined;
  readonly ConfigFrom?: { readonly Network?: string | undefined } | null | undefined;
  readonly IPAM?:
    | {
        readonly Driver?: string | undefined;
        readonly Options?: Readonly<Record<string, string>> | null | undefined;
        readonly Config?: readonly IpamConfig[] | null | undefined;
      }
    | null
    | undefined;
  readonly Options?: Readonly<Record<string, string>> | null | undefined;
  readonly Labels?: Readonly<Record<string, string>> | null | undefined;
}

export interface Subnet {
  /** `10.0.1.0/24` */
  readonly subnet: string;
  /** Allocate only from here, if narrower than the subnet. */
  readonly range?: string | undefined;
  /** Without prefix: `10.0.1.1`. Reserved, held by no endpoint. */
  readonly gateway: string;
}

/** An overlay network. Subnets and VNI are filled by the allocator; `subnets` is empty until then. */
export interface Network {
  readonly id: NetworkId;
  readonly version: Version;
  readonly createdAt: InstantMs;
  readonly updatedAt: InstantMs;
  readonly spec: NetworkSpec;
  readonly subnets: readonly Subnet[];
  /** VXLAN network identifier, 24 bits, from 4096; 0 until allocated. */
  readonly vni: number;
  /** Set when the user removed it while tasks were still stopping: gone when its last task is. */
  readonly removing?: boolean | undefined;
}

/** `--opt encrypted`; Docker takes it without a value for yes. */
export function isEncrypted(spec: NetworkSpec): boolean {
  const value = spec.Options?.['encrypted'];
  return value !== undefined && value !== 'false' && value !== '0';
}

/**
 * The network that the cluster is made with: published ports are open on addresses of both families. Its subnets are the
 * first blocks of the address pools.
 */
export function ingressNetworkSpec(): NetworkSpec {
  return {
    Name: INGRESS_NETWORK_NAME,
    Driver: 'overlay',
    Scope: 'swarm',
    Ingress: true,
    EnableIPv6: true,
  };
}
