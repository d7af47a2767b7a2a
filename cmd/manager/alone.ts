import { type Node, updateObject } from '../../pkg/model/index.ts';
import type { GroupMember } from '../../pkg/rpc/index.ts';
import type { Store } from '../../pkg/store/index.ts';

/**
 * The other managers of a group that was given up are workers, and down until they are heard of. This one is a manager,
 * also if the group was about to let it go.
 */
export async function giveUpOthers(store: Store, self: GroupMember): Promise<void> {
  const { raftId } = self;
  await store.update((draft) => {
    for (const node of draft.list('node')) {
      const next =
        node.id === self.nodeId
          ? { ...node, spec: { ...node.spec, Role: 'manager' as const }, manager: { raftId } }
          : node.spec.Role === 'manager' && givenUp(node, store.now());
      if (next) draft.add(updateObject('node', next));
    }
  });
}

function givenUp(node: Node, now: Node['status']['since']): Node {
  return {
    ...node,
    spec: { ...node.spec, Role: 'worker' },
    status: { ...node.status, state: 'down', since: now },
    manager: undefined,
  };
}
