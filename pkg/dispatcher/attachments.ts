import type { Clock } from '../io/index.ts';
import {
  type Attachment,
  type AttachmentAnswer,
  type AttachmentId,
  type AttachmentWish,
  attachmentId,
  ClusterError,
  createObject,
  type DraftTables,
  type InstantMs,
  type Network,
  type NetworkId,
  type NodeId,
  removeObject,
  VERSION_NONE,
  type View,
} from '../model/index.ts';
import type { Store } from '../store/index.ts';

/** How long an allocation may take; the decider answers within one write. */
const ALLOCATION_MS = 10_000;

/**
 * Standalone containers on attachable networks. A node names everything it wants, again and again; the store is made
 * equal to that, so nothing leaks when either side forgets.
 */
export class AttachmentClaims {
  readonly #store: Pick<Store, 'view' | 'update' | 'watch' | 'now' | 'isLeader'>;
  readonly #clock: Clock;

  constructor(store: Pick<Store, 'view' | 'update' | 'watch' | 'now' | 'isLeader'>, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** @returns one answer per wish, in their order. @throws ClusterError `unavailable` unless this manager leads */
  async claim(
    nodeId: NodeId,
    wishes: readonly AttachmentWish[],
  ): Promise<readonly AttachmentAnswer[]> {
    const store = this.#store;
    if (!store.isLeader()) throw new ClusterError('unavailable', 'this manager does not lead');
    const { value } = await store.update(
      (draft) => settle(draft, { nodeId, wishes }, store.now()),
      { asLeader: true },
    );
    await this.#decided(value.flatMap((one) => (typeof one === 'string' ? one : [])));
    return value.map((one, at) => {
      if (typeof one !== 'string') return one;
      return answerOf(store.view, one, wishes[at]?.network ?? '');
    });
  }

  /** Resolves when the allocator has decided about all of them. */
  async #decided(ids: readonly AttachmentId[]): Promise<void> {
    const { view } = this.#store;
    const isOpen = (id: AttachmentId): boolean => {
      const found = view.get('attachment', id);
      return found !== undefined && found.address === undefined && found.refusal === undefined;
    };
    if (!ids.some(isOpen)) return;
    await new Promise<void>((resolve, reject) => {
      const text = 'the address was not allocated in time';
      const timer = this.#clock.after(ALLOCATION_MS, () => {
        watch[Symbol.dispose]();
        reject(new ClusterError('unavailable', text));
      });
      const watch = this.#store.watch(() => {
        if (ids.some(isOpen)) return;
        timer.cancel();
        watch[Symbol.dispose]();
        resolve();
      });
    });
  }
}

/** Creates what is new and removes what is no longer named. */
function settle(
  draft: DraftTables,
  { nodeId, wishes }: { readonly nodeId: NodeId; readonly wishes: readonly AttachmentWish[] },
  now: InstantMs,
): readonly (AttachmentId | AttachmentAnswer)[] {
  const kept = new Set<AttachmentId>();
  const outcomes = wishes.map((wish): AttachmentId | AttachmentAnswer => {
    const network = findNetwork(draft, wish.network);
    const { containerId, network: asked } = wish;
    if (!network) {
      const text = `network ${asked} not found`;
      return { containerId, network: asked, error: { kind: 'not-found', text } };
    }
    const id = attachmentId(containerId, network.id);
    const known = draft.get('attachment', id);
    if (!known && network.spec.Attachable !== true) {
      const text = `Could not attach to network ${asked}: rpc error: code = PermissionDenied desc = network ${asked} not manually attachable`;
      return { containerId, network: asked, error: { kind: 'forbidden', text } };
    }
    kept.add(id);
    if (!known)
      draft.add(createObject('attachment', newAttachment(wish, { network, nodeId, now })));
    return id;
  });
  for (const attachment of [...draft.list('attachment')]) {
    if (attachment.nodeId === nodeId && !kept.has(attachment.id)) {
      draft.add(removeObject('attachment', attachment));
    }
  }
  return outcomes;
}

function newAttachment(
  wish: AttachmentWish,
  facts: { readonly network: Network; readonly nodeId: NodeId; readonly now: InstantMs },
): Attachment {
  return {
    id: attachmentId(wish.containerId, facts.network.id),
    version: VERSION_NONE,
    createdAt: facts.now,
    updatedAt: facts.now,
    networkId: facts.network.id,
    nodeId: facts.nodeId,
    containerId: wish.containerId,
    containerName: wish.containerName,
    aliases: wish.aliases,
    wantedAddress: wish.wantedAddress,
    wantedAddress6: wish.wantedAddress6,
  };
}

function findNetwork(view: View, asked: string): Network | undefined {
  const found = view.get('network', asked as NetworkId) ?? view.byName('network', asked);
  return found?.removing ? undefined : found;
}

function answerOf(view: View, id: AttachmentId, network: string): AttachmentAnswer {
  const found = view.get('attachment', id);
  const [containerId = ''] = id.split('.');
  if (!found?.address) {
    const text = found?.refusal ?? `network ${network} was removed`;
    return { containerId, network, error: { kind: 'unavailable', text } };
  }
  const networkName = view.get('network', found.networkId)?.spec.Name ?? network;
  const { networkId, address, address6 } = found;
  return { containerId, network, networkId, networkName, address, address6 };
}
