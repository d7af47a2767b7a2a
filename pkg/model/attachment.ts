import type { AttachmentId, InstantMs, NetworkId, NodeId, Version } from './id.ts';

/**
 * A standalone container's place on an attachable overlay network. Its node asks for it while the container runs, the
 * allocator gives it an address, and it is an endpoint in the network's table like a task's.
 */
export interface Attachment {
  readonly id: AttachmentId;
  readonly version: Version;
  readonly createdAt: InstantMs;
  readonly updatedAt: InstantMs;
  readonly networkId: NetworkId;
  readonly nodeId: NodeId;
  readonly containerId: string;
  /** Answered by DNS on the network. */
  readonly containerName: string;
  readonly aliases: readonly string[];
  /** The user asked for this one; without prefix length. */
  readonly wantedAddress?: string | undefined;
  readonly wantedAddress6?: string | undefined;
  /** With prefix length; absent until allocated. */
  readonly address?: string | undefined;
  /** The IPv6 one beside it, in a network that has both. */
  readonly address6?: string | undefined;
  /** Why it has no address; it gets none any more. */
  readonly refusal?: string | undefined;
}

/** The attachment of a container to a network has one id for as long as it lives. */
export function attachmentId(containerId: string, networkId: NetworkId): AttachmentId {
  return `${containerId}.${networkId}` as AttachmentId;
}

/** What a node asks for one of its containers. */
export interface AttachmentWish {
  readonly containerId: string;
  readonly containerName: string;
  /** Name or id, as the user gave it. */
  readonly network: string;
  readonly aliases: readonly string[];
  readonly wantedAddress?: string | undefined;
  readonly wantedAddress6?: string | undefined;
}

/** What came of it: addresses, or why there is none. */
export type AttachmentAnswer =
  | {
      readonly containerId: string;
      readonly network: string;
      readonly networkId: NetworkId;
      readonly networkName: string;
      /** With prefix length. */
      readonly address: string;
      readonly address6?: string | undefined;
    }
  | {
      readonly containerId: string;
      readonly network: string;
      readonly error: {
        readonly kind: 'not-found' | 'forbidden' | 'unavailable';
        readonly text: string;
      };
    };
