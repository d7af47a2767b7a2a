import { beforeEach, expect, test } from 'vitest';
import { Progress } from './progress.ts';

const LIMITS = { maxInflightMsgs: 2, maxInflightBytes: 0 };
let member: Progress;

beforeEach(() => {
  member = Progress.create({ id: 2, isLearner: false, next: 11 }, LIMITS);
});

test('a probe waits for its answer', () => {
  expect(member.paused).toBe(false);
  member.sentEntries(3, 30, 10);
  expect([member.paused, member.next]).toEqual([true, 11]);
  expect(member.acknowledge(13)).toBe(true);
  expect([member.paused, member.match, member.next]).toEqual([false, 13, 14]);
});

test('replication runs ahead until the window is full', () => {
  member.acknowledge(10);
  member.becomeReplicate();
  member.sentEntries(2, 20, 10);
  expect([member.paused, member.next]).toEqual([false, 13]);
  member.sentEntries(1, 10, 10);
  expect([member.paused, member.next]).toEqual([true, 14]);
});

test('a refused probe goes back to the hint, but never behind what is known to match', () => {
  member.acknowledge(4);
  member.next = 11;
  expect(member.retreat(10, 2)).toBe(true);
  expect(member.next).toBe(5);
});

test('an answer to something that was not asked any more is ignored', () => {
  expect(member.retreat(7, 3)).toBe(false);
  member.acknowledge(10);
  member.becomeReplicate();
  expect(member.retreat(10, 3)).toBe(false);
  expect(member.acknowledge(9)).toBe(false);
});

test('after a snapshot probing starts behind it, after a failed one where it was', () => {
  member.acknowledge(3);
  member.becomeSnapshot(20);
  expect([member.paused, member.next]).toEqual([true, 21]);
  expect(() => member.sentEntries(1, 1, 1)).toThrow(
    expect.objectContaining({ code: 'ErrInvariant' }),
  );
  const failed = member.copy();
  member.becomeProbe();
  expect(member.next).toBe(21);
  failed.pendingSnapshot = 0;
  failed.becomeProbe();
  expect(failed.next).toBe(4);
});

test('a commit index is worth a message only if the member does not know it and has entries to commit', () => {
  member.acknowledge(10);
  member.becomeReplicate();
  member.sentHeartbeat(5);
  expect(member.canBumpCommit(5)).toBe(false);
  expect(member.canBumpCommit(8)).toBe(true);
  member.sentHeartbeat(10);
  expect(member.canBumpCommit(12)).toBe(false);
});
