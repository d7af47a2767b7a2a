import type { ClusterId, InstantMs, Version } from './id.ts';

/** The Engine API's SwarmSpec, stored as sent; defaults are resolved by `resolveClusterSpec`. */
export interface ClusterSpec {
  readonly Name?: string | undefined;
  readonly Labels?: Readonly<Record<string, string>> | null | undefined;
  readonly Orchestration?:
    | { readonly TaskHistoryRetentionLimit?: number | null | undefined }
    | undefined;
  readonly Raft?: Readonly<Record<string, number>> | undefined;
  readonly Dispatcher?: { readonly HeartbeatPeriod?: number | undefined } | undefined;
  readonly CAConfig?: Readonly<Record<string, unknown>> | undefined;
  readonly EncryptionConfig?: { readonly AutoLockManagers?: boolean | undefined } | undefined;
  readonly TaskDefaults?: unknown;
}

/** What the traffic of encrypted networks is encrypted with. */
export interface NetworkKey {
  /** Counts up with every key. */
  readonly number: number;
  /** 32 random bytes, base64. */
  readonly secret: string;
}

/** The last key, the one in use and the next one, by number: a node that is a rotation behind is still understood. */
export interface NetworkKeys {
  readonly keys: readonly NetworkKey[];
  readonly current: number;
  /** When the current one came into use. */
  readonly rotatedAt: InstantMs;
}

/** The one cluster object (its id is the cluster's). */
export interface Cluster {
  readonly id: ClusterId;
  readonly version: Version;
  readonly createdAt: InstantMs;
  readonly updatedAt: InstantMs;
  readonly spec: ClusterSpec;
  /** Version that the writer of the present spec had seen: whoever read a later one knows this spec. */
  readonly specSeen?: Version | undefined;
  readonly ca: {
    readonly certificatePem: string;
    readonly keyPem: string;
  };
  /** What managers wrap the keys of their logs in (`SWMKEY-1-…`); absent while autolock is off. */
  readonly unlockKey?: string | undefined;
  /** Absent in a cluster that an older version made, until its leader has added them. */
  readonly networkKeys?: NetworkKeys | undefined;
  readonly joinTokens: { readonly worker: string; readonly manager: string };
  /** CIDR blocks from which network subnets are cut, and the prefix length of each. */
  readonly addressPools: readonly string[];
  readonly subnetSize: number;
  readonly dataPathPort: number;
}

export const TASK_HISTORY_DEFAULT = 5;
export const ADDRESS_POOLS_DEFAULT: readonly string[] = ['10.0.0.0/8'];
export const SUBNET_SIZE_DEFAULT = 20;
export const DATA_PATH_PORT_DEFAULT = 4789;

/** How many finished tasks a slot keeps for `service ps`. */
export function taskHistoryLimit(cluster: Cluster | undefined): number {
  return cluster?.spec.Orchestration?.TaskHistoryRetentionLimit ?? TASK_HISTORY_DEFAULT;
}
