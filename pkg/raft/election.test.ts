import { expect, test } from 'vitest';
import { TestGroup } from './test-group.ts';

const PLAIN = { preVote: false, checkQuorum: false };

test('a node without a leader campaigns after one to two election timeouts', () => {
  const group = new TestGroup({ voters: [1, 2, 3], config: { random: () => 0.99 } });
  group.filter(() => false);
  group.tick(1, 8);
  expect(group.node(1).status().raftState).toBe('StateFollower');
  group.tick(1, 1);
  expect(group.node(1).status().raftState).toBe('StatePreCandidate');
});

test('the requests go to all other voters, in the order of their ids', () => {
  const group = new TestGroup({ voters: [5, 3, 9, 1], config: PLAIN });
  group.node(3).campaign();
  group.work(3);
  expect(group.sent.map((m) => [m.type, m.to])).toEqual([
    ['MsgVote', 1],
    ['MsgVote', 5],
    ['MsgVote', 9],
  ]);
});

test('a majority makes a leader, which tells everybody at once', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.elect(2);
  for (const id of [1, 2, 3]) {
    expect(group.node(id).status()).toMatchObject({ lead: 2, term: 1, commit: 2 });
  }
});

test('no majority, no leader', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.filter(() => false);
  group.elect(1);
  expect(group.node(1).status()).toMatchObject({ raftState: 'StatePreCandidate', term: 0 });
});

test('with pre-vote a node that comes back from a partition disturbs nobody', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.elect(1);
  group.filter((m) => m.from !== 3 && m.to !== 3);
  group.run(60);
  expect(group.node(3).status().term).toBe(1);
  group.filter(() => true);
  group.run(20);
  for (const id of [1, 2, 3]) expect(group.node(id).status()).toMatchObject({ lead: 1, term: 1 });
});

test('a leader without contact to a quorum steps down', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.elect(1);
  group.filter((m) => m.from !== 1 && m.to !== 1);
  group.run(10);
  expect(group.node(1).status()).toMatchObject({ raftState: 'StateFollower', lead: 0 });
});

test('who hears from a leader ignores others that want to be elected', () => {
  const group = new TestGroup({ voters: [1, 2, 3], config: { preVote: false } });
  group.elect(1);
  group.run(1);
  group.filter((m) => m.to !== 3 || m.from !== 1);
  group.tick(3, 20);
  group.settle();
  expect(group.node(2).status()).toMatchObject({ lead: 1, term: 1 });
});

test('forgetting the leader makes a node grant votes at once', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.elect(1);
  group.node(2).forgetLeader();
  group.node(3).forgetLeader();
  group.settle();
  group.elect(3);
  expect(group.node(2).status()).toMatchObject({ lead: 3, term: 2 });
});

test('leadership moves to an up to date voter on request, from any member', () => {
  const group = new TestGroup({ voters: [1, 2, 3], learners: [4] });
  group.elect(1);
  group.node(2).transferLeader(3);
  group.settle();
  expect(group.node(1).status()).toMatchObject({ lead: 3, term: 2 });
  group.node(3).transferLeader(4);
  group.settle();
  expect(group.node(3).status()).toMatchObject({ lead: 3, leadTransferee: 0 });
});

test('a transfer to a node that lags waits for it, refuses proposals, and is given up', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.elect(1);
  group.filter((m) => m.to !== 3);
  group.propose(1, 'a');
  group.settle();
  group.node(1).transferLeader(3);
  group.settle();
  expect(group.node(1).status().leadTransferee).toBe(3);
  expect(() => group.propose(1, 'b')).toThrow(
    expect.objectContaining({ code: 'ErrProposalDropped' }),
  );
  group.run(5);
  expect(group.node(1).status()).toMatchObject({ lead: 1, leadTransferee: 0 });
  group.propose(1, 'c');
  group.settle();
  expect(group.appliedTexts(2)).toEqual(['a', 'c']);
});

test('a leader without itself in the configuration cannot come about, and a learner does not campaign', () => {
  const group = new TestGroup({ voters: [1, 2], learners: [3], strangers: [4] });
  for (const id of [3, 4]) {
    group.node(id).campaign();
    group.tick(id, 30);
    expect(group.node(id).status()).toMatchObject({ raftState: 'StateFollower', term: 0 });
  }
});
