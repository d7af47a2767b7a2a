/** Bugs that Raft implementations are known for, ours included. Each test is named after what went wrong. */
import { expect, test } from 'vitest';
import { EMPTY_CONF_STATE, type Message, type Snapshot } from './message.ts';
import { TestGroup } from './test-group.ts';

const key = new Uint8Array([1]);
const without =
  (id: number) =>
  (m: Message): boolean =>
    m.from !== id && m.to !== id;

test('figure 8: an entry of an old term is not committed because a majority has it', () => {
  const config = { preVote: false, checkQuorum: false };
  const group = new TestGroup({ voters: [1, 2, 3], config });
  group.elect(1);
  group.filter(() => false);
  group.propose(1, 'old');
  group.settle();
  group.restart(1);
  group.filter((m) => m.type === 'MsgVote' || m.type === 'MsgVoteResp');
  group.elect(1);
  expect(group.node(1).status()).toMatchObject({ raftState: 'StateLeader', term: 2, commit: 2 });
  const acknowledge = (index: number): void => {
    group.node(1).step({ type: 'MsgAppResp', from: 2, to: 1, term: 2, index });
  };
  acknowledge(3);
  expect(group.node(1).status().commit).toBe(2);
  acknowledge(4);
  expect(group.node(1).status().commit).toBe(4);
});

test('single-server changes over two terms: no change before an own entry is committed', () => {
  const group = new TestGroup({ voters: [1, 2, 3], strangers: [4] });
  group.elect(2);
  for (const id of [1, 3]) group.node(id).forgetLeader();
  group.filter((m) => m.type !== 'MsgApp');
  group.elect(1);
  const change = { changes: [{ type: 'addNode', nodeId: 4 }] } as const;
  expect(() => group.node(1).proposeConfChange(change)).toThrow(
    expect.objectContaining({ code: 'ErrProposalDropped' }),
  );
  group.filter(() => true);
  group.run(3);
  group.node(1).proposeConfChange(change);
  group.settle();
  expect(group.node(1).status().config.voters).toEqual([1, 2, 3, 4]);
});

test('etcd 11284: no campaign while a committed configuration change is not applied', () => {
  for (const transfer of [false, true]) {
    const config = { asyncStorageWrites: true };
    const group = new TestGroup({ voters: [1, 2, 3], strangers: [4], config });
    group.elect(1);
    group.node(1).proposeConfChange({ changes: [{ type: 'addNode', nodeId: 4 }] });
    // Everybody but the apply thread of 2 does its work.
    for (let round = 0; round < 8; round++) {
      for (const id of [1, 2, 3]) {
        if (group.node(id).hasReady()) group.work(id);
        group.appendThread(id);
      }
      group.deliver();
    }
    expect(group.node(2).status()).toMatchObject({ commit: 3, applied: 2 });
    if (transfer) group.node(2).step({ type: 'MsgTimeoutNow', from: 1, to: 2, term: 1 });
    else group.node(2).campaign();
    expect(group.node(2).status().raftState).toBe('StateFollower');
  }
});

test('etcd 12133: the second change waits until the first is applied', () => {
  const group = new TestGroup({ voters: [1, 2, 3], strangers: [4, 5] });
  group.elect(1);
  group.node(1).proposeConfChange({ changes: [{ type: 'addLearner', nodeId: 4 }] });
  group.node(1).proposeConfChange({ changes: [{ type: 'addLearner', nodeId: 5 }] });
  group.settle();
  expect(group.node(2).status().config.learners).toEqual([4]);
  group.node(1).proposeConfChange({ changes: [{ type: 'addLearner', nodeId: 5 }] });
  group.settle();
  expect(group.node(2).status().config.learners).toEqual([4, 5]);
});

test('etcd-raft 105: the only voter does not read before it committed in its term', () => {
  const group = new TestGroup({ voters: [1] });
  group.elect(1);
  group.propose(1, 'a');
  group.settle();
  group.restart(1);
  group.node(1).campaign();
  group.work(1);
  group.work(1);
  expect(group.node(1).status()).toMatchObject({ raftState: 'StateLeader', term: 2 });
  group.node(1).readIndex(key);
  const { commit } = group.node(1).status();
  expect(group.member(1).reads).toEqual([]);
  group.settle();
  expect(group.member(1).reads[0]?.index).toBe(commit + 1);
});

test('a removed leader does not read on its own although one voter is left', () => {
  const config = { stepDownOnRemoval: false };
  const group = new TestGroup({ voters: [1, 2], config });
  group.elect(1);
  group.node(1).proposeConfChange({ changes: [{ type: 'removeNode', nodeId: 1 }] });
  group.settle();
  expect(group.node(1).status()).toMatchObject({
    raftState: 'StateLeader',
    config: { voters: [2] },
  });
  group.filter(() => false);
  group.node(1).readIndex(key);
  group.settle();
  expect(group.member(1).reads).toEqual([]);
});

test('etcd-raft 99: a lease is over as soon as leadership is handed over', () => {
  const group = new TestGroup({ voters: [1, 2, 3], config: { readOnlyOption: 'lease-based' } });
  group.elect(1);
  group.run(2);
  group.filter((m) => m.type === 'MsgTimeoutNow' || without(1)(m));
  group.node(1).transferLeader(2);
  group.settle();
  expect(group.node(2).status()).toMatchObject({ raftState: 'StateLeader', term: 2 });
  group.node(1).readIndex(key);
  group.settle();
  expect(group.member(1).reads).toEqual([]);
});

test('a lease is over when the configuration changes: others may now elect somebody', () => {
  const config = { readOnlyOption: 'lease-based' } as const;
  const group = new TestGroup({ voters: [1, 2, 3], learners: [4, 5], config });
  group.elect(1);
  group.run(2);
  group.node(1).readIndex(key);
  group.settle();
  expect(group.member(1).reads).toHaveLength(1);
  const changes = [
    { type: 'addNode', nodeId: 4 },
    { type: 'addNode', nodeId: 5 },
    { type: 'removeNode', nodeId: 2 },
    { type: 'removeNode', nodeId: 3 },
  ] as const;
  group.node(1).proposeConfChange({ changes });
  group.settle();
  expect(group.node(1).status().config).toEqual({ ...EMPTY_CONF_STATE, voters: [1, 4, 5] });
  // 2 and 3 gave the lease; 4 and 5 are a quorum, and never did.
  group.filter(() => false);
  group.node(1).readIndex(key);
  group.settle();
  expect(group.member(1).reads).toHaveLength(1);
});

test('a leader that removed itself has no lease: the only voter left may campaign at once', () => {
  const config = { readOnlyOption: 'lease-based', stepDownOnRemoval: false } as const;
  const group = new TestGroup({ voters: [1, 2], config });
  group.elect(1);
  group.node(1).proposeConfChange({ changes: [{ type: 'removeNode', nodeId: 1 }] });
  group.settle();
  // Hears of 2 still, but 2 owes it nothing.
  group.run(2);
  group.filter(() => false);
  const before = group.member(1).reads.length;
  group.node(1).readIndex(key);
  group.settle();
  expect(group.member(1).reads).toHaveLength(before);
});

test('with lease-based reads a restarted node grants no vote for an election timeout', () => {
  const config = { readOnlyOption: 'lease-based', preVote: false } as const;
  const group = new TestGroup({ voters: [1, 2, 3], config });
  group.elect(1);
  group.filter(without(1));
  group.restart(2);
  const vote: Message = { type: 'MsgVote', from: 3, to: 2, term: 2, index: 2, logTerm: 1 };
  group.node(2).step(vote);
  expect(group.node(2).status()).toMatchObject({ term: 1, vote: 1 });
  group.tick(2, 5);
  group.node(2).step({ ...vote, term: group.node(2).status().term + 1 });
  expect(group.node(2).status().vote).toBe(3);
});

test('a configuration change that does not fit is a no-op and no crash', () => {
  const config = { disableConfChangeValidation: true };
  const group = new TestGroup({ voters: [1, 2], config });
  group.elect(1);
  group.node(1).proposeConfChange({
    transition: 'explicit',
    changes: [
      { type: 'removeNode', nodeId: 1 },
      { type: 'removeNode', nodeId: 2 },
    ],
  });
  group.settle();
  group.propose(1, 'alive');
  group.settle();
  for (const id of [1, 2]) {
    expect(group.node(id).status().config).toEqual({ ...EMPTY_CONF_STATE, voters: [1, 2] });
    expect(group.appliedTexts(id)).toEqual(['alive']);
  }
});

test('a leader does not even append a change that does not fit', () => {
  const group = new TestGroup({ voters: [1, 2] });
  group.elect(1);
  const both = [1, 2].map((nodeId) => ({ type: 'removeNode', nodeId }) as const);
  group.node(1).proposeConfChange({ transition: 'explicit', changes: both });
  group.settle();
  const last = group.member(1).storage.lastIndex();
  expect(group.member(1).storage.entries(last, last + 1, 0)[0]?.type).toBe('EntryNormal');
});

test('a change that a received snapshot already covers is not applied again', () => {
  const group = new TestGroup({ voters: [1, 2, 3], config: { asyncStorageWrites: true } });
  const confState = { ...EMPTY_CONF_STATE, voters: [1, 2, 4] };
  const snapshot: Snapshot = { index: 20, term: 2, confState, data: new Uint8Array(0) };
  group.node(2).step({ type: 'MsgSnap', from: 1, to: 2, term: 2, snapshot });
  const change = { changes: [{ type: 'removeNode', nodeId: 4 }] } as const;
  expect(group.node(2).applyConfChange(change, 15)).toBeNull();
  expect(group.node(2).status().config.voters).toEqual([1, 2, 4]);
  expect(group.node(2).applyConfChange(change, 21)?.voters).toEqual([1, 2]);
});

test('moby 34384: a commit known only to the removed leader does not leave the others without one', () => {
  const group = new TestGroup({ voters: [1, 2], config: { preVote: true } });
  group.elect(1);
  // The answer of 2 arrives, so 1 knows the commit and is out, but 2 does not learn of it.
  group.node(1).proposeConfChange({ changes: [{ type: 'removeNode', nodeId: 1 }] });
  group.propose(1, 'behind it');
  group.filter((m) => m.from !== 1 || (m.entries ?? []).some((e) => e.index === 3));
  group.settle();
  expect(group.node(1).status()).toMatchObject({
    raftState: 'StateFollower',
    config: { voters: [2] },
  });
  expect(group.node(2).status()).toMatchObject({ commit: 2, config: { voters: [1, 2] } });
  group.filter(() => true);
  group.run(30);
  expect(group.node(2).status()).toMatchObject({
    raftState: 'StateLeader',
    config: { voters: [2] },
  });
});

test('a learner with a higher term does not ignore the leader for ever', () => {
  const config = { preVote: false, checkQuorum: false };
  const group = new TestGroup({ voters: [1, 2], learners: [3], config });
  group.node(3).step({ type: 'MsgVote', from: 2, to: 3, term: 9, index: 0, logTerm: 0 });
  group.filter(without(3));
  group.elect(1);
  group.filter(() => true);
  group.propose(1, 'a');
  group.run(40);
  expect(group.appliedTexts(3)).toEqual(['a']);
});

test('leaving a joint configuration is tried again when a transfer was in the way', () => {
  const group = new TestGroup({ voters: [1, 2, 3], strangers: [4] });
  group.elect(1);
  group.filter((m) => m.type !== 'MsgTimeoutNow');
  const change = { type: 'addNode', nodeId: 4 } as const;
  group.node(1).proposeConfChange({ transition: 'implicit', changes: [change] });
  group.node(1).transferLeader(3);
  group.settle();
  expect(group.node(1).status().config.votersOutgoing).toEqual([1, 2, 3]);
  group.run(6);
  expect(group.node(1).status()).toMatchObject({
    raftState: 'StateLeader',
    config: { ...EMPTY_CONF_STATE, voters: [1, 2, 3, 4] },
  });
});

test('a snapshot is only sent to members that it knows', () => {
  const group = new TestGroup({ voters: [1, 2], strangers: [3] });
  group.elect(1);
  const { storage } = group.member(1);
  const old = { ...EMPTY_CONF_STATE, voters: [1, 2] };
  group.node(1).proposeConfChange({ changes: [{ type: 'addNode', nodeId: 3 }] });
  group.settle();
  const snapshots = (): Message[] => group.sent.filter((m) => m.type === 'MsgSnap');
  group.filter((m) => m.to !== 3);
  group.sent.length = 0;
  storage.createSnapshot({ index: 2, term: 1, confState: old, data: new Uint8Array(0) });
  storage.compact(3);
  group.run(4);
  expect(snapshots()).toEqual([]);
  const confState = { ...old, voters: [1, 2, 3] };
  storage.createSnapshot({ index: 3, term: 1, confState, data: new Uint8Array(0) });
  group.filter(() => true);
  group.run(4);
  expect(snapshots().length).toBeGreaterThan(0);
  expect(group.node(3).status()).toMatchObject({ lead: 1, commit: 3, config: confState });
});

test('a snapshot that got lost does not stop the member for ever, once that is reported', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.elect(1);
  group.filter(without(3));
  group.propose(1, 'a');
  group.settle();
  const { storage } = group.member(1);
  const confState = { ...EMPTY_CONF_STATE, voters: [1, 2, 3] };
  storage.createSnapshot({ index: 3, term: 1, confState, data: new Uint8Array(0) });
  storage.compact(3);
  group.filter((m) => m.type !== 'MsgSnap');
  group.run(3);
  expect(group.node(1).status().progress.get(3)?.state).toBe('StateSnapshot');
  group.node(1).reportSnapshot(3, false);
  group.filter(() => true);
  group.run(3);
  expect(group.node(3).status().commit).toBe(3);
  expect(group.node(1).status().progress.get(3)?.state).toBe('StateReplicate');
});

test('a snapshot of entries that are all there only moves the commit index', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.elect(1);
  group.filter((m) => m.to !== 2 || m.commit === 2);
  group.propose(1, 'a');
  group.settle();
  const confState = { ...EMPTY_CONF_STATE, voters: [1, 2, 3] };
  const snapshot = { index: 3, term: 1, confState, data: new Uint8Array(0) };
  group.filter(() => true);
  group.node(2).step({ type: 'MsgSnap', from: 1, to: 2, term: 1, snapshot });
  expect(group.node(2).ready()).toMatchObject({ snapshot: null, hardState: { commit: 3 } });
});

test('a heartbeat does not commit what the member may not have', () => {
  const group = new TestGroup({ voters: [1, 2, 3] });
  group.elect(1);
  group.filter((m) => m.to !== 3 || m.type !== 'MsgApp');
  group.propose(1, 'a');
  group.run(3);
  expect(group.node(2).status().commit).toBe(3);
  expect(group.node(3).status().commit).toBe(2);
});

test('a learner that was promoted without knowing it votes when asked', () => {
  const group = new TestGroup({ voters: [1, 2], learners: [3] });
  group.elect(1);
  group.filter((m) => m.to !== 3);
  group.node(1).proposeConfChange({ changes: [{ type: 'addNode', nodeId: 3 }] });
  group.settle();
  expect(group.node(3).status().config.learners).toEqual([3]);
  group.filter(without(1));
  group.run(30);
  expect(group.node(2).status()).toMatchObject({ raftState: 'StateLeader' });
});

test('async writes, ABA: the answer to a write of an earlier term makes nothing stable', () => {
  const group = new TestGroup({ voters: [1, 2, 3], config: { asyncStorageWrites: true } });
  const { node, storage } = group.member(2);
  const append = (term: number, entryTerm: number): void => {
    const entry = { index: 2, term: entryTerm, type: 'EntryNormal', data: null } as const;
    node.step({ type: 'MsgApp', from: 1, to: 2, term, index: 1, logTerm: 1, entries: [entry] });
    group.work(2);
  };
  // The same entry comes, is replaced, and comes again, while the first write is still under way.
  append(2, 2);
  append(3, 3);
  append(4, 2);
  group.appendThread(2);
  group.deliver();
  expect(storage.lastIndex()).toBe(2);
  const pending = group.member(2).appendWork.length;
  expect(pending).toBe(2);
  group.appendThread(2);
  // Now the disk holds the entry of term 3; a node that took index 2 for stable would read that.
  group.deliver();
  node.step({ type: 'MsgApp', from: 1, to: 2, term: 4, index: 2, logTerm: 2, commit: 2 });
  const [m] = group.work(2).committedEntries;
  expect(m).toBeUndefined();
  group.settle();
  expect(group.member(2).applied.map((entry) => entry.term)).toEqual([2]);
});

test('after a restart the applied index stands for a commit index that was not synced', () => {
  const group = new TestGroup({ voters: [1] });
  group.elect(1);
  group.propose(1, 'a');
  group.settle();
  const { storage } = group.member(1);
  storage.setHardState({ term: 1, vote: 1, commit: 1 });
  group.restart(1, {});
  expect(group.node(1).status()).toMatchObject({ commit: 1, applied: 1 });
  storage.createSnapshot({
    index: 3,
    term: 1,
    confState: { ...EMPTY_CONF_STATE, voters: [1] },
    data: new Uint8Array(0),
  });
  storage.compact(2);
  group.restart(1);
  expect(group.node(1).status()).toMatchObject({ commit: 2, applied: 2 });
});

test('lost committed entries stop the node at start', () => {
  const group = new TestGroup({ voters: [1] });
  group.member(1).storage.setHardState({ term: 3, vote: 1, commit: 9 });
  expect(() => group.restart(1)).toThrow(expect.objectContaining({ code: 'ErrCorrupt' }));
});

test('numbers beyond the safe integers are refused', () => {
  const group = new TestGroup({ voters: [1, 2] });
  const message: Message = { type: 'MsgHeartbeat', from: 2, to: 1, term: 2 ** 53 };
  const range = expect.objectContaining({ code: 'ErrIndexRange' });
  expect(() => group.node(1).step(message)).toThrow(range);
  expect(() => group.node(1).step({ ...message, term: 1, commit: 0.5 })).toThrow(range);
});
