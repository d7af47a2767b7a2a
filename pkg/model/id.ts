declare const brand: unique symbol;
type Branded<Base, Name extends string> = Base & { readonly [brand]: Name };

/** Cluster objects carry 25 characters of [0-9a-z]; `pkg/io` makes them, deciders are handed them. */
export type ClusterId = Branded<string, 'ClusterId'>;
export type NodeId = Branded<string, 'NodeId'>;
export type ServiceId = Branded<string, 'ServiceId'>;
/** `${ServiceId}.${specVersion}`: one accepted version of a service's spec. */
export type RevisionId = Branded<string, 'RevisionId'>;
export type TaskId = Branded<string, 'TaskId'>;
export type NetworkId = Branded<string, 'NetworkId'>;
export type SecretId = Branded<string, 'SecretId'>;
export type ConfigId = Branded<string, 'ConfigId'>;
export type VolumeId = Branded<string, 'VolumeId'>;
/** `${container id}.${NetworkId}`: one container on one network. */
export type AttachmentId = Branded<string, 'AttachmentId'>;

/** Wall-clock milliseconds since the epoch, stamped by the leader; never read inside a decider. */
export type InstantMs = Branded<number, 'InstantMs'>;

/**
 * Raft log index at which an object last changed; the compare-and-set token of the API's `?version=N`.
 * 0 in an object that has not been applied yet.
 */
export type Version = Branded<number, 'Version'>;

export const VERSION_NONE = 0 as Version;

export function revisionId(serviceId: ServiceId, specVersion: number): RevisionId {
  return `${serviceId}.${specVersion}` as RevisionId;
}

/** Byte order, never locale: the same on every node. */
export function compareText(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
