import { expect, test } from 'vitest';
import type { Message } from './message.ts';
import { TestGroup } from './test-group.ts';

const appends = (messages: readonly Message[], to: number): number[] =>
  messages.filter((m) => m.type === 'MsgApp' && m.to === to).map((m) => m.entries?.length ?? 0);

test('what a majority has is committed and applied everywhere, in order', () => {
  const group = new TestGroup({ voters: [1, 2, 3], learners: [4] });
  group.elect(1);
  for (const text of ['a', 'b', 'c']) group.propose(1, text);
  group.settle();
  for (const id of [1, 2, 3, 4]) expect(group.appliedTexts(id)).toEqual(['a', 'b', 'c']);
});

test('without a majority nothing is committed', () => {
  const group = new TestGroup({ voters: [1, 2, 3], learners: [4] });
  group.elect(1);
  group.filter((m) => m.to === 4 || m.from === 4);
  group.propose(1, 'a');
  group.settle();
  expect(group.appliedTexts(1)).toEqual([]);
  expect(group.node(1).status().progress.get(4)?.match).toBe(3);
});

test('a follower passes proposals on, unless told not to', () => {
  const group = new TestGroup({ voters: [1, 2] });
  group.elect(1);
  group.propose(2, 'a');
  group.settle();
  expect(group.appliedTexts(2)).toEqual(['a']);
  group.restart(2, { disableProposalForwarding: true });
  group.run(2);
  expect(() => group.propose(2, 'b')).toThrow(
    expect.objectContaining({ code: 'ErrProposalDropped' }),
  );
});

test('entries proposed together travel together', () => {
  const group = new TestGroup({ voters: [1, 2] });
  group.elect(1);
  group.sent.length = 0;
  const bytes = new TextEncoder().encode('x');
  group.node(1).proposeAll([bytes, bytes, bytes]);
  group.settle();
  expect(appends(group.sent, 2)).toEqual([3, 0]);
  bytes[0] = 0;
  expect(group.appliedTexts(2)).toEqual(['x', 'x', 'x']);
});

test('messages are limited in size, and their number in flight', () => {
  const config = { maxSizePerMsg: 30, maxInflightMsgs: 2 };
  const group = new TestGroup({ voters: [1, 2], config });
  group.elect(1);
  group.sent.length = 0;
  for (let i = 0; i < 6; i++) group.propose(1, `value ${i}`);
  group.work(1);
  expect(appends(group.sent, 2)).toEqual([1, 1]);
  expect(group.node(1).status().progress.get(2)).toMatchObject({ inflightFull: true });
  group.settle();
  expect(group.appliedTexts(2)).toHaveLength(6);
});

test('a window whose messages are all lost opens again with a heartbeat', () => {
  const group = new TestGroup({ voters: [1, 2, 3], config: { maxInflightMsgs: 1 } });
  group.elect(1);
  group.filter((m) => m.to !== 3);
  group.propose(1, 'a');
  group.propose(1, 'b');
  group.settle();
  expect(group.node(1).status().progress.get(3)).toMatchObject({ inflightFull: true });
  group.filter(() => true);
  group.run(2);
  expect(group.appliedTexts(3)).toEqual(['a', 'b']);
});

test('a log that went astray is replaced with few messages', () => {
  const group = new TestGroup({ voters: [1, 2, 3], config: { checkQuorum: false } });
  group.elect(1);
  group.filter(() => false);
  for (let i = 0; i < 40; i++) group.propose(1, `lost ${i}`);
  group.settle();
  group.filter((m) => m.from !== 1 && m.to !== 1);
  group.node(2).campaign();
  group.settle();
  group.propose(2, 'kept');
  group.settle();
  group.filter(() => true);
  group.sent.length = 0;
  group.run(1);
  const refused = group.sent.filter((m) => m.type === 'MsgAppResp' && m.reject === true);
  expect(refused.length).toBeLessThanOrEqual(2);
  expect(group.appliedTexts(1)).toEqual(['kept']);
});

test('an unreachable member is probed with one message at a time', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.elect(1);
  group.filter((m) => m.to !== 2);
  group.node(1).reportUnreachable(2);
  group.propose(1, 'a');
  group.propose(1, 'b');
  group.settle();
  expect(group.node(1).status().progress.get(2)).toMatchObject({
    state: 'StateProbe',
    paused: true,
  });
  group.filter(() => true);
  group.run(2);
  expect(group.node(1).status().progress.get(2)?.state).toBe('StateReplicate');
  expect(group.appliedTexts(2)).toEqual(['a', 'b']);
});

test('what is uncommitted is limited, and the limit is free again after the commit', () => {
  const group = new TestGroup({ voters: [1, 2], config: { maxUncommittedEntriesSize: 10 } });
  group.elect(1);
  group.propose(1, 'longer than the limit');
  const dropped = expect.objectContaining({ code: 'ErrProposalDropped' });
  expect(() => group.propose(1, 'x')).toThrow(dropped);
  expect(() => group.node(1).propose(new Uint8Array(0))).not.toThrow();
  group.settle();
  group.propose(1, '12345');
  group.propose(1, '12345');
  expect(() => group.propose(1, 'x')).toThrow(dropped);
});
