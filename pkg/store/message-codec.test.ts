import type { Message } from 'raft-js';
import { expect, test } from 'vitest';
import { decodeEnvelope, encodeEnvelope } from './message-codec.ts';

const SAMPLES: readonly Message[] = [
  { type: 'MsgHeartbeatResp', from: 1, to: 2 ** 53 - 3, term: 5 },
  {
    type: 'MsgAppResp',
    from: 3,
    to: 1,
    term: 4,
    index: 9,
    reject: true,
    rejectHint: 7,
    logTerm: 2,
  },
  {
    type: 'MsgVote',
    from: 3,
    to: 1,
    term: 4,
    index: 9,
    leaderTransfer: true,
    hintCommit: 8,
    hintTerm: 3,
  },
  { type: 'MsgReadIndex', from: 3, to: 1, context: Buffer.from([1, 2, 255]) },
  {
    type: 'MsgApp',
    from: 1,
    to: 2,
    term: 4,
    entries: [
      { type: 'EntryNormal', term: 4, index: 10, data: Buffer.from('x'.repeat(300)) },
      { type: 'EntryConfChangeV2', term: 4, index: 11, data: null },
    ],
  },
];

test('messages keep every field over the wire', () => {
  const payload = encodeEnvelope('c', { kind: 'messages', messages: SAMPLES });
  const back = decodeEnvelope('c', payload);
  const found = back?.kind === 'messages' ? back.messages : [];
  expect(found).toHaveLength(SAMPLES.length);
  SAMPLES.forEach((sample, at) => {
    expect(JSON.parse(JSON.stringify(found[at]))).toEqual(JSON.parse(JSON.stringify(sample)));
  });
});

test('a snapshot message says which snapshot follows', () => {
  const confState = {
    voters: [1, 2],
    votersOutgoing: [],
    learners: [3],
    learnersNext: [],
    autoLeave: false,
  };
  const snapshot = { index: 7, term: 2, confState, data: new Uint8Array(0) };
  const message: Message = { type: 'MsgSnap', from: 1, to: 3, term: 2, snapshot };
  const back = decodeEnvelope('c', encodeEnvelope('c', { kind: 'snapshot', message }));
  expect(back?.kind === 'snapshot' && back.message.snapshot?.confState).toEqual(confState);
});

test('another cluster is not listened to, and cut payloads are refused', () => {
  const payload = encodeEnvelope('c', { kind: 'messages', messages: SAMPLES });
  expect(decodeEnvelope('other', payload)).toBeUndefined();
  expect(() => decodeEnvelope('c', payload.subarray(0, payload.length - 1))).toThrow(RangeError);
});
