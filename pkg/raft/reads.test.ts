import { expect, test } from 'vitest';
import type { MessageType } from './message.ts';
import { TestGroup } from './test-group.ts';

const key = new Uint8Array([7]);
const indexes = (group: TestGroup, id: number): number[] =>
  group.member(id).reads.map((read) => read.index);
const count = (group: TestGroup, type: MessageType): number =>
  group.sent.filter((m) => m.type === type).length;

test('a read is answered when a quorum confirmed the leader, on any member', () => {
  const group = new TestGroup({ voters: [1, 2, 3], learners: [4] });
  group.elect(1);
  group.propose(1, 'a');
  group.settle();
  for (const id of [1, 3, 4]) group.node(id).readIndex(key);
  group.settle();
  for (const id of [1, 3, 4]) {
    expect(group.member(id).reads).toEqual([{ index: 3, requestCtx: key }]);
  }
});

test('a leader that lost its quorum answers nothing', () => {
  const group = new TestGroup({ voters: [1, 2, 3], learners: [4] });
  group.elect(1);
  group.filter((m) => m.to === 4 || m.from === 4);
  group.node(1).readIndex(key);
  group.run(3);
  expect(indexes(group, 1)).toEqual([]);
});

test('the confirmation has to be younger than the read', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.elect(1);
  group.node(1).readIndex(key);
  group.work(1);
  // The answers to this round are on their way when the second read comes.
  group.deliver();
  group.filter((m) => m.type !== 'MsgHeartbeat');
  group.node(1).readIndex(new Uint8Array([8]));
  group.settle();
  expect(group.member(1).reads).toEqual([{ index: 2, requestCtx: key }]);
});

test('the only voter answers at once', () => {
  const group = new TestGroup({ voters: [1], learners: [2] });
  group.elect(1);
  group.sent.length = 0;
  group.node(1).readIndex(key);
  group.settle();
  expect(indexes(group, 1)).toEqual([2]);
  expect(count(group, 'MsgHeartbeat')).toBe(0);
});

test('a lease answers without asking, while heartbeats are answered', () => {
  const group = new TestGroup({ voters: [1, 2, 3], config: { readOnlyOption: 'lease-based' } });
  group.elect(1);
  group.run(2);
  group.sent.length = 0;
  group.node(1).readIndex(key);
  group.work(1);
  expect(indexes(group, 1)).toEqual([2]);
  expect(count(group, 'MsgHeartbeat')).toBe(0);
});

test('a lease ends before anybody else can be elected', () => {
  const group = new TestGroup({ voters: [1, 2, 3], config: { readOnlyOption: 'lease-based' } });
  group.elect(1);
  group.run(2);
  group.filter(() => false);
  group.run(4);
  group.node(1).readIndex(key);
  group.settle();
  expect(group.node(1).status().raftState).toBe('StateLeader');
  expect(indexes(group, 1)).toEqual([]);
});

test('without a leader a read is lost', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.node(1).readIndex(key);
  group.settle();
  expect(indexes(group, 1)).toEqual([]);
});

test('a read does not wait for members that were removed meanwhile', () => {
  const group = new TestGroup({ voters: [1, 2] });
  group.elect(1);
  group.node(1).proposeConfChange({ changes: [{ type: 'removeNode', nodeId: 2 }] });
  group.filter((m) => m.type !== 'MsgHeartbeat');
  group.node(1).readIndex(key);
  group.settle();
  expect(group.member(1).reads).toEqual([{ index: 2, requestCtx: key }]);
});
