import type { Message } from 'raft-js';
import { describe, expect, it } from 'vitest';
import { silentLogger, systemClock } from '../io/index.ts';
import type { Member } from './contract.ts';
import { decodeEnvelope } from './message-codec.ts';
import { Outbox } from './outbox.ts';
import type { Peers } from './peers.ts';
import type { SnapshotFolder } from './snapshot.ts';

const CLUSTER = 'c';

/** What left, one list per payload. */
function outbox(): { readonly box: Outbox; readonly sent: (readonly Message[])[] } {
  const sent: (readonly Message[])[] = [];
  const box = new Outbox({
    clusterId: CLUSTER,
    transport: {
      send: (_to, payload): void => {
        const envelope = decodeEnvelope(CLUSTER, payload);
        if (envelope?.kind === 'messages') sent.push(envelope.messages);
      },
      sendSnapshot: async (): Promise<void> => undefined,
      listen: (): Disposable => ({ [Symbol.dispose]: (): void => undefined }),
    },
    peers: { get: (raftId: number) => ({ raftId, address: 'x' }) as Member } as Peers,
    snapshots: {} as SnapshotFolder,
    clock: systemClock,
    logger: silentLogger,
    onUnreachable: (): void => undefined,
    onSnapshotSent: (): void => undefined,
  });
  return { box, sent };
}

function acknowledgement(index: number, more: Partial<Message> = {}): Message {
  return { type: 'MsgAppResp', from: 1, to: 2, term: 3, index, ...more } as Message;
}

describe('outbox', () => {
  it('sends acknowledgements of something new at once', () => {
    const { box, sent } = outbox();
    for (const index of [7, 8]) {
      box.add(acknowledgement(index));
      box.flush();
    }
    expect(sent.map((messages) => messages.map(({ index }) => index))).toEqual([[7], [8]]);
  });

  it('keeps one that repeats the last for the next payload, and loses none', () => {
    const { box, sent } = outbox();
    box.add(acknowledgement(7));
    box.flush();
    for (let again = 0; again < 3; again += 1) {
      box.add(acknowledgement(7));
      box.flush();
    }
    expect(sent).toHaveLength(1);
    box.add({ type: 'MsgHeartbeatResp', from: 1, to: 2, term: 3 } as Message);
    box.flush();
    expect(sent[1]?.map(({ type }) => type)).toEqual(['MsgAppResp', 'MsgHeartbeatResp']);
    box.add({ type: 'MsgHeartbeatResp', from: 1, to: 2, term: 3 } as Message);
    box.flush();
    expect(sent[2]?.map(({ type }) => type)).toEqual(['MsgHeartbeatResp']);
  });

  it('keeps back neither refusals, nor what follows them, nor what is said in another term', () => {
    const { box, sent } = outbox();
    const messages = [
      acknowledgement(7),
      acknowledgement(7, { reject: true }),
      acknowledgement(7),
      acknowledgement(7, { term: 4 }),
      acknowledgement(7, { to: 5 }),
    ];
    for (const message of messages) {
      box.add(message);
      box.flush();
    }
    expect(sent).toHaveLength(messages.length);
  });
});
