import type { InstantMs, NodeId, Version, VolumeId } from './id.ts';

type Maybe<T> = T | null | undefined;
type TextMap = Readonly<Record<string, string>>;

/** The Engine API's Topology as clients send it (CSI: domains and segments). */
export interface VolumeTopology {
  readonly Segments?: Maybe<TextMap>;
}

export type VolumeAvailability = 'active' | 'pause' | 'drain';
export type VolumeSharing = 'none' | 'readonly' | 'onewriter' | 'all';

export interface VolumeAccessMode {
  readonly Scope?: Maybe<'single' | 'multi'>;
  readonly Sharing?: Maybe<VolumeSharing>;
  readonly MountVolume?: Maybe<{
    readonly FsType?: Maybe<string>;
    readonly MountFlags?: Maybe<readonly string[]>;
  }>;
  readonly BlockVolume?: Maybe<object>;
}

/** The Engine API's ClusterVolumeSpec. */
export interface ClusterVolumeSpec {
  readonly Group?: Maybe<string>;
  readonly AccessMode?: Maybe<VolumeAccessMode>;
  readonly AccessibilityRequirements?: Maybe<{
    readonly Requisite?: Maybe<readonly VolumeTopology[]>;
    readonly Preferred?: Maybe<readonly VolumeTopology[]>;
  }>;
  readonly CapacityRange?: Maybe<{
    readonly RequiredBytes?: Maybe<number>;
    readonly LimitBytes?: Maybe<number>;
  }>;
  /** Secrets of the cluster by name or id, for the driver. */
  readonly Secrets?: Maybe<readonly { readonly Key: string; readonly Secret: string }[]>;
  readonly Availability?: Maybe<VolumeAvailability>;
}

/** The body of `POST /volumes/create` for a cluster volume, stored as the user sent it. */
export interface VolumeSpec {
  readonly Name: string;
  readonly Driver?: Maybe<string>;
  readonly DriverOpts?: Maybe<TextMap>;
  readonly Labels?: Maybe<TextMap>;
  readonly ClusterVolumeSpec: ClusterVolumeSpec;
}

/** What the driver said when it made the volume. */
export interface VolumeInfo {
  /** The driver's own name of the volume. */
  readonly handle: string;
  /** 0: not known. */
  readonly capacityBytes: number;
  readonly context: TextMap;
  /** It can be reached from nodes in any of these; empty: from everywhere. */
  readonly topology: readonly TextMap[];
}

/** In this order; a volume that is to come back to a node goes through all of them first. */
export type PublicationState =
  | 'pending-publish'
  | 'published'
  | 'pending-node-unpublish'
  | 'pending-controller-unpublish';

/** A volume on one node. */
export interface VolumePublication {
  readonly nodeId: NodeId;
  /** What the driver calls the node; the node may be gone when it has to be told. */
  readonly driverNodeId: string;
  readonly state: PublicationState;
  /** From the driver's controller for its part on the node. */
  readonly context?: TextMap | undefined;
  /** Why the last attempt to take the next step failed. */
  readonly error?: string | undefined;
}

/** A volume of the cluster, made by a CSI driver and brought to the nodes that have tasks for it. */
export interface Volume {
  readonly id: VolumeId;
  readonly version: Version;
  readonly createdAt: InstantMs;
  readonly updatedAt: InstantMs;
  readonly spec: VolumeSpec;
  /** Version that the writer of the present spec had seen: whoever read a later one knows this spec. */
  readonly specSeen?: Version | undefined;
  /** Once the driver has made it. */
  readonly info?: VolumeInfo | undefined;
  /** The driver was asked to make it and may have, though nobody heard the answer. */
  readonly creating?: boolean | undefined;
  readonly publications: readonly VolumePublication[];
  /** It is to be deleted, and no task gets it any more. */
  readonly removing?: boolean | undefined;
  /** Why the last attempt to create or delete it failed. */
  readonly error?: string | undefined;
}

export function volumeAvailability({ spec }: Volume): VolumeAvailability {
  return spec.ClusterVolumeSpec.Availability || 'active';
}

export function isOnOneNode({ spec }: Volume): boolean {
  return (spec.ClusterVolumeSpec.AccessMode?.Scope || 'single') === 'single';
}

export function volumeSharing({ spec }: { readonly spec: VolumeSpec }): VolumeSharing {
  return spec.ClusterVolumeSpec.AccessMode?.Sharing || 'none';
}

export function isBlockVolume({ spec }: { readonly spec: VolumeSpec }): boolean {
  return Boolean(spec.ClusterVolumeSpec.AccessMode?.BlockVolume);
}

export type VolumeWork =
  | { readonly kind: 'create' }
  | { readonly kind: 'delete' }
  | { readonly kind: 'publish'; readonly publication: VolumePublication }
  | { readonly kind: 'unpublish'; readonly publication: VolumePublication };

/**
 * What the driver's controller has to do next. Unpublishing comes first: a volume may have to leave a node before it
 * comes to another.
 */
export function nextVolumeWork({ info, removing, publications }: Volume): VolumeWork | undefined {
  if (!info) return { kind: 'create' };
  const leaving = publications.find(({ state }) => state === 'pending-controller-unpublish');
  if (leaving) return { kind: 'unpublish', publication: leaving };
  const coming = publications.find(({ state }) => state === 'pending-publish');
  if (coming) return { kind: 'publish', publication: coming };
  return removing && publications.length === 0 ? { kind: 'delete' } : undefined;
}
