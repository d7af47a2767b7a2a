import { type Clock, type Logger, sleep } from '../../pkg/io/index.ts';
import {
  ClusterError,
  errorMessage,
  type Node,
  type NodeId,
  updateObject,
} from '../../pkg/model/index.ts';
import type { Caller, ControlHandlers, GroupMember, Introduction } from '../../pkg/rpc/index.ts';
import type { Store } from '../../pkg/store/index.ts';

/** How long a caller is kept until the group has let a manager go. */
const DEMOTION_MS = 15_000;
const RETRY_MS = 1000;

/** Who is in the group of managers; asked on the leader, others point to it. */
export function membership(store: Store, clock: Clock, self: GroupMember): ControlHandlers {
  return {
    introduce: (member): Introduction => {
      return { by: self.raftId, members: store.introduced(member.raftId, [member]) };
    },
    join: async (member): ReturnType<ControlHandlers['join']> => {
      if (!store.isLeader()) return { leader: store.leader()?.address ?? '' };
      await addManager(store, member);
      return {
        members: store.members(),
      };
    },
    leave: async (raftId, caller): ReturnType<ControlHandlers['leave']> => {
      if (!store.isLeader()) return { leader: store.leader()?.address ?? '' };
      mayRemove(store, raftId, caller);
      await becomesWorker(store, raftId);
      // It ends when it is answered, so it must be known by then to those who stay.
      if (caller.nodeId === self.nodeId) await store.removeMember(raftId);
      else await demoted(store, clock, { id: caller.nodeId as NodeId, self: self.nodeId });
      return {};
    },
  };
}

/** A node that was made a manager may be in the group once: a former life of it goes first. */
async function addManager(store: Store, member: GroupMember): Promise<void> {
  const node = store.view.get('node', member.nodeId);
  if (node?.spec.Role !== 'manager') {
    throw new ClusterError(
      'forbidden',
      `node ${member.nodeId} is not to be a manager of this cluster`,
    );
  }
  for (const former of store.members()) {
    if (former.nodeId === member.nodeId && former.raftId !== member.raftId)
      await store.removeMember(former.raftId);
  }
  await store.addMember(member);
  await store.update((draft) => {
    const current = draft.get('node', member.nodeId);
    const { raftId } = member;
    if (current) draft.add(updateObject('node', { ...current, manager: { raftId } }));
  });
}

/** Who leaves the group by itself is a worker that can be removed. Written first: `keepMembers` finishes what breaks off. */
async function becomesWorker(store: Store, raftId: number): Promise<void> {
  await store.update((draft) => {
    for (const node of draft.list('node')) {
      if (node.manager?.raftId !== raftId) continue;
      const spec = { ...node.spec, Role: 'worker' as const };
      draft.add(updateObject('node', { ...node, spec }));
    }
  });
}

/** A manager takes out itself only; others are demoted through the API. */
function mayRemove(store: Store, raftId: number, caller: Caller): void {
  const member = store.members().find((candidate) => candidate.raftId === raftId);
  if (member && member.nodeId !== (caller.nodeId as NodeId)) {
    throw new ClusterError(
      'forbidden',
      `manager ${caller.nodeId} cannot take out ${member.nodeId}`,
    );
  }
}

/**
 * On the leader: takes managers that are to be workers out of the group, and lets their nodes know only then. A leader
 * that is to be a worker hands over, and its successor does it. What fails is tried again, by whoever leads then.
 */
export async function keepMembers(parts: {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { store, clock, log, signal } = parts;
  let wake = (): void => undefined;
  using _watch = store.watch(({ changes, reset }) => {
    if (reset || changes.some(({ kind }) => kind === 'node')) wake();
  });
  using _leadership = store.onLeadership((leading) => leading && wake());
  signal.addEventListener('abort', () => wake(), { once: true });
  while (!signal.aborted) {
    const changed = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const node = store.isLeader() ? nextToGo(store) : undefined;
    if (node === undefined) {
      await changed;
      continue;
    }
    try {
      await letGo(store, node);
    } catch (error) {
      const reason = errorMessage(error);
      log.warn('manager is not taken out of the group yet', { node: node.id, reason });
      await sleep(clock, RETRY_MS, signal).catch(() => undefined);
    }
  }
}

/** A worker by its spec that is in the group, or of which it is still written that it is. */
function nextToGo(store: Store): Node | undefined {
  const members = new Set(store.members().map(({ nodeId }) => nodeId));
  const leaving = [...store.view.list('node')].filter(
    (node) => node.spec.Role === 'worker' && (node.manager !== undefined || members.has(node.id)),
  );
  // The others first: a leader that hands over cannot do it any more.
  return leaving.find(({ id }) => id !== store.leader()?.nodeId) ?? leaving[0];
}

async function letGo(store: Store, node: Node): Promise<void> {
  if (node.id === store.leader()?.nodeId) {
    await store.transferLeadership();
    return;
  }
  for (const { nodeId, raftId } of store.members())
    if (nodeId === node.id) await store.removeMember(raftId);
  await store.update((draft) => {
    const current = draft.get('node', node.id);
    if (current?.manager && current.spec.Role === 'worker')
      draft.add(updateObject('node', { ...current, manager: undefined }));
  });
}

/**
 * Resolves when the group has let the node `id` go. On its own manager nothing is heard from the group after that.
 * @throws ClusterError deadline: it will happen, but has not yet
 */
export async function demoted(
  store: Store,
  clock: Clock,
  { id, self }: { readonly id: NodeId; readonly self: NodeId },
): Promise<void> {
  const isDone = (): boolean =>
    (id === self || store.view.get('node', id)?.manager === undefined) &&
    !store.members().some(({ nodeId }) => nodeId === id);
  const deadline = clock.monotonicMs() + DEMOTION_MS;
  while (!isDone()) {
    if (clock.monotonicMs() > deadline) {
      const text = `node ${id} is to be a worker, but is not taken out of the group of managers yet; it will be as soon as the others agree`;
      throw new ClusterError('deadline', text);
    }
    await sleep(clock, 20);
  }
}
