/** Bugs that Raft implementations are known for: members that lag, come back, or do not belong to the group any more. */
import { expect, test } from 'vitest';
import { resolveConfig } from './config.ts';
import { EMPTY_CONF_STATE, type Message, type Snapshot } from './message.ts';
import { MemoryStorage } from './storage.ts';
import { TestGroup } from './test-group.ts';

const without =
  (id: number) =>
  (m: Message): boolean =>
    m.from !== id && m.to !== id;

test('pre-vote and check-quorum are on unless told otherwise, leases are not', () => {
  const settings = resolveConfig({ id: 1, storage: new MemoryStorage(), random: () => 0 });
  expect(settings).toMatchObject({ preVote: true, checkQuorum: true, readOnlyOption: 'safe' });
});

test('mixed terms: a member that raised its term alone does not leave the others without a leader', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.elect(1);
  group.filter(without(3));
  group.restart(3, { preVote: false });
  group.tick(3, 40);
  group.settle();
  expect(group.node(3).status().term).toBeGreaterThan(3);
  // Back, and asking first again: nobody may grant it a vote, and it ignores whoever has a lower term.
  group.restart(3);
  group.propose(1, 'a');
  group.settle();
  group.filter(without(1));
  group.run(60);
  expect(group.node(2).status()).toMatchObject({ raftState: 'StateLeader' });
  expect(group.appliedTexts(3)).toEqual(['a']);
});

test('a member with a higher term answers a leader that its own configuration lacks', () => {
  const config = { preVote: false, checkQuorum: false };
  const group = new TestGroup({ voters: [1, 2], config });
  group.filter(() => false);
  group.tick(2, 60);
  group.settle();
  const { term } = group.node(2).status();
  expect(term).toBeGreaterThan(3);
  // 1 is gone meanwhile and 9 leads; 2 would never ask it for its vote.
  group.node(2).step({ type: 'MsgHeartbeat', from: 9, to: 2, term: 3, commit: 0 });
  group.settle();
  const answers = group.sent.filter((m) => m.to === 9);
  expect(answers).toMatchObject([{ type: 'MsgAppResp', from: 2, term }]);
});

test('etcd 7331: a new leader answers no read before it committed an entry of its term', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.elect(1);
  // The commit of "a" is known to 1 only.
  group.filter((m) => m.type !== 'MsgApp' || (m.entries ?? []).length > 0);
  group.propose(1, 'a');
  group.settle();
  expect(group.node(1).status().commit).toBe(3);
  expect(group.node(2).status().commit).toBe(2);
  group.filter((m) => without(1)(m) && m.type !== 'MsgAppResp');
  group.node(3).forgetLeader();
  group.elect(2);
  expect(group.node(2).status().raftState).toBe('StateLeader');
  group.node(2).readIndex(new Uint8Array([1]));
  group.settle();
  expect(group.member(2).reads).toEqual([]);
  group.filter(without(1));
  group.run(3);
  expect(group.member(2).reads[0]?.index).toBeGreaterThanOrEqual(3);
});

test('who was removed and does not know it cannot unseat the leader', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.elect(1);
  group.filter(without(3));
  group.node(1).proposeConfChange({ changes: [{ type: 'removeNode', nodeId: 3 }] });
  group.run(2);
  expect(group.node(1).status().config.voters).toEqual([1, 2]);
  group.filter(() => true);
  group.restart(3, { preVote: false });
  const { term } = group.node(1).status();
  group.run(60);
  expect(group.node(1).status()).toMatchObject({ raftState: 'StateLeader', term });
});

test('an answer of somebody who is no member is an error for the caller and changes nothing', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.elect(1);
  const before = group.node(1).status();
  for (const type of ['MsgAppResp', 'MsgHeartbeatResp', 'MsgVoteResp'] as const) {
    const answer: Message = { type, from: 9, to: 1, term: 1, index: 2 };
    expect(() => group.node(1).step(answer)).toThrow(
      expect.objectContaining({ code: 'ErrStepPeerNotFound' }),
    );
  }
  expect(group.node(1).status()).toEqual(before);
});

test('a learner that lags is removed, and another one promoted, without it', () => {
  const group = new TestGroup({ voters: [1, 2], learners: [3, 4] });
  group.elect(1);
  group.filter(without(3));
  for (const text of ['a', 'b', 'c']) group.propose(1, text);
  group.node(1).proposeConfChange({
    changes: [
      { type: 'removeNode', nodeId: 3 },
      { type: 'addNode', nodeId: 4 },
    ],
  });
  group.run(8);
  group.filter(() => true);
  group.propose(1, 'd');
  group.run(3);
  for (const id of [1, 2, 4]) {
    expect(group.node(id).status().config).toEqual({ ...EMPTY_CONF_STATE, voters: [1, 2, 4] });
    expect(group.appliedTexts(id)).toEqual(['a', 'b', 'c', 'd']);
  }
});

test('the configuration changes while a member waits for a snapshot', () => {
  const group = new TestGroup({ voters: [1, 2, 3], learners: [4] });
  group.elect(1);
  group.filter(without(3));
  group.propose(1, 'a');
  group.settle();
  const { storage } = group.member(1);
  const confState = { ...EMPTY_CONF_STATE, voters: [1, 2, 3], learners: [4] };
  storage.createSnapshot({ index: 3, term: 1, confState, data: new Uint8Array(0) });
  storage.compact(3);
  const held: Message[] = [];
  group.filter((m) => {
    if (m.type === 'MsgSnap') held.push(m);
    return m.type !== 'MsgSnap';
  });
  group.run(3);
  expect(group.node(1).status().progress.get(3)?.state).toBe('StateSnapshot');
  group.node(1).proposeConfChange({ changes: [{ type: 'addNode', nodeId: 4 }] });
  group.propose(1, 'b');
  group.settle();
  group.filter(() => true);
  group.node(3).step(held[0] as Message);
  group.settle();
  group.node(1).reportSnapshot(3, true);
  group.run(3);
  expect(group.node(3).status().config).toEqual({ ...EMPTY_CONF_STATE, voters: [1, 2, 3, 4] });
  expect(group.appliedTexts(3)).toEqual(['b']);
});

test('a follower behind the compacted log gets a snapshot, and goes on from there', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.elect(1);
  group.filter(without(3));
  for (const text of ['a', 'b', 'c']) group.propose(1, text);
  group.settle();
  const { storage } = group.member(1);
  const confState = { ...EMPTY_CONF_STATE, voters: [1, 2, 3] };
  const snapshot: Snapshot = { index: 4, term: 1, confState, data: new Uint8Array(0) };
  storage.createSnapshot(snapshot);
  storage.compact(4);
  group.filter(() => true);
  group.run(4);
  group.node(1).reportSnapshot(3, true);
  group.run(4);
  expect(group.node(3).status()).toMatchObject({ commit: 5, applied: 5 });
  expect(group.appliedTexts(3)).toEqual(['c']);
  expect(group.node(1).status().progress.get(3)).toMatchObject({
    state: 'StateReplicate',
    match: 5,
  });
});

test('entries of earlier terms do not make room for more uncommitted ones than allowed', () => {
  const config = { maxUncommittedEntriesSize: 10, preVote: false, checkQuorum: false };
  const group = new TestGroup({ voters: [1, 2, 3], config });
  group.elect(1);
  group.filter((m) => m.type !== 'MsgAppResp');
  group.propose(1, '1234567890');
  group.settle();
  group.filter(() => true);
  group.elect(2);
  // Ten bytes that this leader never counted are committed; its own limit is what it was.
  expect(group.appliedTexts(2)).toEqual(['1234567890']);
  group.filter((m) => m.type !== 'MsgAppResp');
  group.propose(2, '1234567890');
  expect(() => group.propose(2, 'x')).toThrow(
    expect.objectContaining({ code: 'ErrProposalDropped' }),
  );
});
