import { expect, test } from 'vitest';
import type { InstantMs, Node, NodeId, NodeState, Version } from '../../model/index.ts';
import type { MemberStatus } from '../../store/index.ts';
import { isReachable, renderNode } from './node.ts';

function manager(id: string, state: NodeState): Node {
  return {
    id: id as NodeId,
    version: 1 as Version,
    createdAt: 1 as InstantMs,
    updatedAt: 1 as InstantMs,
    spec: { Role: 'manager', Availability: 'active' },
    status: { state, address: '', since: 1 as InstantMs },
    certificateRole: 'manager',
  };
}

/** m1 leads; `heard` are those this manager has heard from. */
function members(heard: readonly string[]): readonly MemberStatus[] {
  return ['m1', 'm2', 'm3'].map((id, at) => ({
    nodeId: id as NodeId,
    raftId: at + 1,
    address: '',
    role: 'voter',
    leader: id === 'm1',
    reachable: heard.includes(id),
  }));
}

test.each<[self: string, heard: string[], state: NodeState, reachable: boolean]>([
  ['m1', ['m1', 'm2'], 'ready', false],
  ['m1', ['m1', 'm3'], 'down', true],
  ['m2', ['m1', 'm2'], 'ready', true],
  ['m2', ['m1', 'm2'], 'down', false],
])(
  'asked of %s, which heard from %j, m3 (%s) is reachable: %s',
  (self, heard, state, reachable) => {
    expect(isReachable(manager('m3', state), members(heard), self)).toBe(reachable);
  },
);

test('a member without a vote is not shown as reachable', () => {
  const three = members(['m1', 'm2', 'm3']);
  const joining = three.map(
    (member): MemberStatus => (member.nodeId === 'm3' ? { ...member, role: 'learner' } : member),
  );
  const shown = (all: readonly MemberStatus[]): unknown => {
    const node: Node = { ...manager('m3', 'ready'), manager: { raftId: 3 } };
    return renderNode(node, { members: all, self: 'm1', tlsInfo: undefined })['ManagerStatus'];
  };
  expect(shown(joining)).toMatchObject({ Reachability: 'unknown' });
  expect(shown(three)).toMatchObject({ Reachability: 'reachable' });
});

test('a node that is no member is not reachable', () => {
  expect(isReachable(manager('m4', 'ready'), members(['m1', 'm2', 'm3']), 'm1')).toBe(false);
});
