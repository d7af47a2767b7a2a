import fc from 'fast-check';
import { expect, test } from 'vitest';
import { jointCommitted, jointVote } from './joint.ts';
import { majorityCommitted, majorityVote } from './majority.ts';

const acks = fc.array(fc.option(fc.nat(9), { nil: undefined }), { minLength: 1, maxLength: 7 });

test('the committed index is the highest that more than half of the voters have', () => {
  fc.assert(
    fc.property(acks, (list) => {
      const voters = list.map((_, i) => i + 1);
      const index = majorityCommitted(voters, (id) => list[id - 1]);
      const having = (at: number): number => list.filter((ack) => (ack ?? 0) >= at).length;
      expect(having(index)).toBeGreaterThan(list.length / 2);
      expect(having(index + 1)).not.toBeGreaterThan(list.length / 2);
    }),
  );
});

test('nobody to ask means everything is agreed', () => {
  expect(majorityCommitted([], () => 5)).toBe(Number.POSITIVE_INFINITY);
  expect(majorityVote([], new Map())).toBe('VoteWon');
});

test('a joint configuration needs both halves', () => {
  const acked = (id: number): number => (id <= 3 ? 7 : 4);
  expect(jointCommitted({ voters: [1, 2, 3], votersOutgoing: [] }, acked)).toBe(7);
  expect(jointCommitted({ voters: [1, 2, 3], votersOutgoing: [3, 4, 5] }, acked)).toBe(4);
  const config = { voters: [1, 2, 3], votersOutgoing: [3, 4, 5] };
  const votes = new Map([
    [1, true],
    [2, true],
  ]);
  expect(jointVote(config, votes)).toBe('VotePending');
  expect(jointVote(config, new Map([...votes, [4, false], [5, false]]))).toBe('VoteLost');
  expect(jointVote(config, new Map([...votes, [3, true], [4, true]]))).toBe('VoteWon');
});

test('an election is lost as soon as it cannot be won', () => {
  const votes = new Map([[1, true]]);
  expect(majorityVote([1, 2, 3], votes)).toBe('VotePending');
  votes.set(2, false);
  expect(majorityVote([1, 2, 3], votes)).toBe('VotePending');
  votes.set(3, false);
  expect(majorityVote([1, 2, 3], votes)).toBe('VoteLost');
  expect(majorityVote([1, 2], new Map([[2, false]]))).toBe('VoteLost');
});
