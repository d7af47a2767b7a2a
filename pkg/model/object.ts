import type { Attachment } from './attachment.ts';
import type { Cluster } from './cluster.ts';
import type {
  AttachmentId,
  ClusterId,
  ConfigId,
  NetworkId,
  NodeId,
  RevisionId,
  SecretId,
  ServiceId,
  TaskId,
  VolumeId,
} from './id.ts';
import type { Network } from './network.ts';
import type { Node } from './node.ts';
import type { Config, Secret } from './secret.ts';
import type { Revision, Service } from './service.ts';
import type { Task } from './task.ts';
import type { Volume } from './volume.ts';

/** Everything that is replicated, by kind. Adding a kind: docs/checklist/object-kind.md. */
export interface ObjectTypes {
  readonly cluster: Cluster;
  readonly node: Node;
  readonly service: Service;
  readonly revision: Revision;
  readonly task: Task;
  readonly network: Network;
  readonly secret: Secret;
  readonly config: Config;
  readonly attachment: Attachment;
  readonly volume: Volume;
}

export interface ObjectIds {
  readonly cluster: ClusterId;
  readonly node: NodeId;
  readonly service: ServiceId;
  readonly revision: RevisionId;
  readonly task: TaskId;
  readonly network: NetworkId;
  readonly secret: SecretId;
  readonly config: ConfigId;
  readonly attachment: AttachmentId;
  readonly volume: VolumeId;
}

export const OBJECT_KINDS = [
  'cluster',
  'node',
  'service',
  'revision',
  'task',
  'network',
  'secret',
  'config',
  'attachment',
  'volume',
] as const;
export type ObjectKind = (typeof OBJECT_KINDS)[number];

/** Kinds whose name is unique among themselves; the store refuses a second holder when it applies the change. */
export type NamedKind = 'service' | 'network' | 'secret' | 'config' | 'volume';
const NAMED: ReadonlySet<ObjectKind> = new Set<NamedKind>([
  'service',
  'network',
  'secret',
  'config',
  'volume',
]);

/** The unique name, where the kind has one. Networks on their way out no longer hold theirs. */
export function uniqueName<K extends ObjectKind>(
  kind: K,
  object: ObjectTypes[K],
): string | undefined {
  if (kind === 'network' && (object as Network).removing) return undefined;
  return NAMED.has(kind) ? (object as ObjectTypes[NamedKind]).spec.Name : undefined;
}
