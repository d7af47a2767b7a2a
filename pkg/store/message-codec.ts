import type { ConfState, Message, MessageType, Snapshot } from 'raft-js';
import { ByteReader, ByteWriter } from './bytes.ts';
import type { Member } from './contract.ts';
import { decodeEntries, encodeEntries } from './wal-record.ts';

/** Types that travel between members, in the order of their codes: append only. */
const TYPES: readonly MessageType[] = [
  'MsgProp',
  'MsgApp',
  'MsgAppResp',
  'MsgVote',
  'MsgVoteResp',
  'MsgPreVote',
  'MsgPreVoteResp',
  'MsgSnap',
  'MsgHeartbeat',
  'MsgHeartbeatResp',
  'MsgReadIndex',
  'MsgReadIndexResp',
  'MsgTransferLeader',
  'MsgTimeoutNow',
];

/** Fields beyond type, from and to are rare: one bit each says whether they follow. */
const NUMBERS = [
  'term',
  'logTerm',
  'index',
  'commit',
  'rejectHint',
  'hintCommit',
  'hintTerm',
] as const;
const BIT = { reject: 7, leaderTransfer: 8, context: 9, entries: 10, snapshot: 11 } as const;

/** Append one message. Its snapshot goes without data, which travels as a file. */
export function encodeMessage(writer: ByteWriter, message: Message): void {
  let present = 0;
  NUMBERS.forEach((name, bit) => {
    if (message[name] !== undefined && message[name] !== 0) present |= 1 << bit;
  });
  if (message.reject === true) present |= 1 << BIT.reject;
  if (message.leaderTransfer === true) present |= 1 << BIT.leaderTransfer;
  if (message.context !== undefined) present |= 1 << BIT.context;
  if (message.entries !== undefined && message.entries.length > 0) present |= 1 << BIT.entries;
  if (message.snapshot) present |= 1 << BIT.snapshot;
  writer.u8(TYPES.indexOf(message.type)).uint(message.from).uint(message.to).uint(present);
  NUMBERS.forEach((name, bit) => {
    if (present & (1 << bit)) writer.uint(message[name] ?? 0);
  });
  if (message.context !== undefined) writer.bytes(message.context);
  if (present & (1 << BIT.entries)) encodeEntries(writer, message.entries ?? []);
  if (message.snapshot) encodeSnapshotHead(writer, message.snapshot);
}

/** @throws RangeError for bytes that are no message */
export function decodeMessage(reader: ByteReader): Message {
  const type = TYPES[reader.u8()];
  if (type === undefined) throw new RangeError('unknown type of message');
  const [from, to, present] = [reader.uint(), reader.uint(), reader.uint()];
  const has = (bit: number): boolean => (present & (1 << bit)) !== 0;
  const numbers: Partial<Record<(typeof NUMBERS)[number], number>> = {};
  NUMBERS.forEach((name, bit) => {
    if (has(bit)) numbers[name] = reader.uint();
  });
  return {
    type,
    from,
    to,
    ...numbers,
    reject: has(BIT.reject) ? true : undefined,
    leaderTransfer: has(BIT.leaderTransfer) ? true : undefined,
    context: has(BIT.context) ? reader.bytes().slice() : undefined,
    entries: has(BIT.entries) ? decodeEntries(reader) : undefined,
    snapshot: has(BIT.snapshot) ? decodeSnapshotHead(reader) : undefined,
  };
}

function encodeSnapshotHead(writer: ByteWriter, snapshot: Snapshot): void {
  writer.uint(snapshot.index).uint(snapshot.term).text(JSON.stringify(snapshot.confState));
}

function decodeSnapshotHead(reader: ByteReader): Snapshot {
  const [index, term] = [reader.uint(), reader.uint()];
  const confState = JSON.parse(reader.text()) as ConfState;
  return { index, term, confState, data: new Uint8Array(0) };
}

/** What one payload of the transport holds. */
export type Envelope =
  | { readonly kind: 'messages'; readonly messages: readonly Message[] }
  /**
   * I am here, and here I am reached; sent at intervals so that every manager knows whom it can reach. `others`
   * have just said the same to the sender.
   */
  | { readonly kind: 'hello'; readonly member: Member; readonly others: readonly Member[] }
  /** To a member that was removed and does not know it. */
  | { readonly kind: 'removed' }
  /** A MsgSnap; the snapshot follows in chunks. */
  | { readonly kind: 'snapshot'; readonly message: Message };

const KINDS = ['messages', 'hello', 'removed', 'snapshot'] as const;
const FORMAT_VERSION = 1;

export function encodeEnvelope(clusterId: string, envelope: Envelope): Uint8Array {
  const writer = new ByteWriter(256).u8(FORMAT_VERSION).text(clusterId);
  writer.u8(KINDS.indexOf(envelope.kind));
  if (envelope.kind === 'messages') {
    for (const message of envelope.messages) encodeMessage(writer, message);
  } else if (envelope.kind === 'snapshot') {
    encodeMessage(writer, envelope.message);
  } else if (envelope.kind === 'hello') {
    const { member, others } = envelope;
    writer.text(JSON.stringify({ member, others }));
  }
  return writer.finish();
}

/** Undefined when it comes from another cluster. @throws RangeError or SyntaxError when it does not decode */
export function decodeEnvelope(clusterId: string, payload: Uint8Array): Envelope | undefined {
  const reader = new ByteReader(payload);
  const version = reader.u8();
  if (version !== FORMAT_VERSION) throw new RangeError(`message format ${version} is not known`);
  if (reader.text() !== clusterId) return undefined;
  const kind = KINDS[reader.u8()];
  switch (kind) {
    case 'messages': {
      const messages: Message[] = [];
      while (!reader.done) messages.push(decodeMessage(reader));
      return { kind, messages };
    }
    case 'snapshot':
      return { kind, message: decodeMessage(reader) };
    case 'hello':
      return { kind, ...(JSON.parse(reader.text()) as { member: Member; others: Member[] }) };
    case 'removed':
      return { kind };
    default:
      throw new RangeError('unknown kind of payload');
  }
}
