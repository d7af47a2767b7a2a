import { ClusterError, type NodeId, updateObject } from '../../pkg/model/index.ts';
import type { Caller, ControlHandlers, GroupMember } from '../../pkg/rpc/index.ts';
import type { Store } from '../../pkg/store/index.ts';

/** Who is in the group of managers; asked on the leader, others point to it. */
export function membership(store: Store): ControlHandlers {
  return {
    join: async (member): ReturnType<ControlHandlers['join']> => {
      if (!store.isLeader()) return { leader: store.leader()?.address ?? '' };
      await addManager(store, member);
      return {
        members: store
          .members()
          .map(({ raftId, nodeId, address }) => ({ raftId, nodeId, address })),
      };
    },
    leave: async (raftId, caller): ReturnType<ControlHandlers['leave']> => {
      if (!store.isLeader()) return { leader: store.leader()?.address ?? '' };
      mayRemove(store, raftId, caller);
      await becomesWorker(store, raftId);
      await store.removeMember(raftId);
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
    const { raftId, address } = member;
    if (current) draft.add(updateObject('node', { ...current, manager: { raftId, address } }));
  });
}

/**
 * Who leaves the group by itself is a worker that can be removed. Written before the removal: a leader that takes out
 * itself cannot write any more afterwards.
 */
async function becomesWorker(store: Store, raftId: number): Promise<void> {
  await store.update((draft) => {
    for (const node of draft.list('node')) {
      if (node.manager?.raftId !== raftId) continue;
      const spec = { ...node.spec, Role: 'worker' as const };
      draft.add(updateObject('node', { ...node, spec, manager: undefined }));
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
