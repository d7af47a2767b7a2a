import { expect, test } from 'vitest';
import { LOCAL_APPEND, LOCAL_APPLY, type Message } from './message.ts';
import { RawNode } from './raw-node.ts';
import { MemoryStorage } from './storage.ts';
import { TestGroup } from './test-group.ts';

const code = (name: string): unknown => expect.objectContaining({ code: name });

test('a fresh node has nothing to do', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  expect(group.node(1).hasReady()).toBe(false);
  expect(group.node(1).status()).toMatchObject({ term: 0, commit: 1, applied: 1, lead: 0 });
});

test('the vote leaves only together with a Ready that makes it durable', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.node(1).step({ type: 'MsgVote', from: 2, to: 1, term: 1, index: 1, logTerm: 1 });
  const ready = group.node(1).ready();
  expect(ready).toMatchObject({ hardState: { term: 1, vote: 2 }, mustSync: true });
  expect(ready.messages.map((m) => m.type)).toEqual(['MsgVoteResp']);
});

test('a commit index alone needs no sync', () => {
  const group = new TestGroup({ voters: [1, 2] });
  group.elect(1);
  group.filter((m) => m.to !== 2 || m.commit === 2);
  group.propose(1, 'a');
  group.settle();
  group.node(2).step({ type: 'MsgHeartbeat', from: 1, to: 2, term: 1, commit: 3 });
  expect(group.node(2).ready()).toMatchObject({ hardState: { commit: 3 }, mustSync: false });
});

test('with async storage writes promises wait for the append thread', () => {
  const group = new TestGroup({ voters: [1, 2, 3], config: { asyncStorageWrites: true } });
  group.node(1).step({ type: 'MsgVote', from: 2, to: 1, term: 1, index: 1, logTerm: 1 });
  const [append, ...others] = group.work(1).messages;
  expect(others).toEqual([]);
  expect(append).toMatchObject({ type: 'MsgStorageAppend', to: LOCAL_APPEND, term: 1, vote: 2 });
  expect(append?.responses?.map((m) => [m.type, m.to])).toEqual([['MsgVoteResp', 2]]);
  group.settle();
  group.elect(2);
  group.propose(3, 'a');
  group.settle();
  for (const id of [1, 2, 3]) expect(group.appliedTexts(id)).toEqual(['a']);
  expect(LOCAL_APPLY).not.toBe(LOCAL_APPEND);
});

test('messages that only the node itself may make are refused from outside', () => {
  const group = new TestGroup({ voters: [1, 2] });
  const types = ['MsgHup', 'MsgBeat', 'MsgUnreachable', 'MsgSnapStatus', 'MsgStorageApplyResp'];
  for (const type of types as Message['type'][]) {
    expect(() => group.node(1).step({ type, from: 2, to: 1 })).toThrow(code('ErrStepLocalMsg'));
  }
  const stranger: Message = { type: 'MsgAppResp', from: 9, to: 1 };
  expect(() => group.node(1).step(stranger)).toThrow(code('ErrStepPeerNotFound'));
});

test('proposals without a leader are dropped', () => {
  const group = new TestGroup({ voters: [1, 2] });
  expect(() => group.propose(1, 'a')).toThrow(code('ErrProposalDropped'));
  group.elect(1);
  expect(() => group.node(1).proposeAll([])).toThrow(code('ErrProposalDropped'));
  const change = { v1: true, changes: [] };
  expect(() => group.node(1).proposeConfChange(change)).toThrow(code('ErrConfChangeInvalid'));
});

test('a Ready has to be finished before the next', () => {
  const group = new TestGroup({ voters: [1] });
  group.node(1).campaign();
  const ready = group.node(1).ready();
  expect(() => group.node(1).ready()).toThrow(code('ErrInvariant'));
  group.node(1).advance(ready);
  expect(() => group.node(1).ready()).not.toThrow();
});

test('a configuration that cannot work is refused', () => {
  const storage = new MemoryStorage();
  const make = (config: object): RawNode =>
    new RawNode({ id: 1, storage, random: () => 0, ...config });
  const wrong = [
    { id: 0 },
    { id: LOCAL_APPLY },
    { heartbeatTick: 0 },
    { electionTick: 1 },
    { maxInflightMsgs: 0 },
    { maxInflightBytes: 10, maxSizePerMsg: 20 },
    { readOnlyOption: 'lease-based', checkQuorum: false },
  ];
  for (const config of wrong) expect(() => make(config)).toThrow(code('ErrConfig'));
  expect(make({}).status().term).toBe(0);
});
