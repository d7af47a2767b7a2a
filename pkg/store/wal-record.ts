import type { Entry, EntryType, HardState } from 'raft-js';
import { ByteReader, ByteWriter } from './bytes.ts';

/** Whose log this is. A log of somebody else must never be continued. */
export interface Identity {
  readonly clusterId: string;
  readonly raftId: number;
}

/** A snapshot whose file was complete and durable before this was written. */
export interface SnapshotRef {
  readonly index: number;
  readonly term: number;
  /** It came from the leader and replaced the log; otherwise this member took it of its own state. */
  readonly installed: boolean;
}

export type WalRecord =
  | { readonly kind: 'identity'; readonly identity: Identity }
  | { readonly kind: 'entries'; readonly entries: readonly Entry[] }
  | { readonly kind: 'hardState'; readonly hardState: HardState }
  | { readonly kind: 'snapshot'; readonly ref: SnapshotRef }
  /** First in a segment: bytes of its file. */
  | { readonly kind: 'size'; readonly bytes: number };

const KINDS = ['identity', 'entries', 'hardState', 'snapshot', 'size'] as const;
const ENTRY_TYPES: readonly EntryType[] = ['EntryNormal', 'EntryConfChange', 'EntryConfChangeV2'];
const FORMAT_VERSION = 1;

/** All records of one group commit. */
export function encodeRecords(records: readonly WalRecord[]): Uint8Array {
  const writer = new ByteWriter(1024).u8(FORMAT_VERSION);
  for (const record of records) {
    writer.u8(KINDS.indexOf(record.kind));
    encodeRecord(writer, record);
  }
  return writer.finish();
}

export function decodeRecords(payload: Uint8Array): readonly WalRecord[] {
  const reader = new ByteReader(payload);
  const version = reader.u8();
  if (version !== FORMAT_VERSION) throw new RangeError(`log format ${version} is not known`);
  const records: WalRecord[] = [];
  while (!reader.done) records.push(decodeRecord(reader));
  return records;
}

export function encodeEntries(writer: ByteWriter, entries: readonly Entry[]): void {
  writer.uint(entries.length);
  for (const { term, index, type, data } of entries) {
    writer.u8(ENTRY_TYPES.indexOf(type)).uint(term).uint(index);
    writer.bytes(data ?? new Uint8Array(0));
  }
}

export function decodeEntries(reader: ByteReader): Entry[] {
  const entries: Entry[] = [];
  for (let left = reader.uint(); left > 0; left--) {
    const type = ENTRY_TYPES[reader.u8()];
    if (type === undefined) throw new RangeError('unknown type of log entry');
    const [term, index, data] = [reader.uint(), reader.uint(), reader.bytes()];
    entries.push({ type, term, index, data: data.length === 0 ? null : data });
  }
  return entries;
}

function encodeRecord(writer: ByteWriter, record: WalRecord): void {
  switch (record.kind) {
    case 'identity':
      writer.text(record.identity.clusterId).uint(record.identity.raftId);
      break;
    case 'entries':
      encodeEntries(writer, record.entries);
      break;
    case 'hardState': {
      const { term, vote, commit } = record.hardState;
      writer.uint(term).uint(vote).uint(commit);
      break;
    }
    case 'snapshot': {
      const { index, term, installed } = record.ref;
      writer
        .uint(index)
        .uint(term)
        .u8(installed ? 1 : 0);
      break;
    }
    case 'size':
      writer.uint(record.bytes);
      break;
  }
}

function decodeRecord(reader: ByteReader): WalRecord {
  const kind = KINDS[reader.u8()];
  switch (kind) {
    case 'identity':
      return { kind, identity: { clusterId: reader.text(), raftId: reader.uint() } };
    case 'entries':
      return { kind, entries: decodeEntries(reader) };
    case 'hardState': {
      const [term, vote, commit] = [reader.uint(), reader.uint(), reader.uint()];
      return { kind, hardState: { term, vote, commit } };
    }
    case 'snapshot': {
      const [index, term, installed] = [reader.uint(), reader.uint(), reader.u8() === 1];
      return { kind, ref: { index, term, installed } };
    }
    case 'size':
      return { kind, bytes: reader.uint() };
    default:
      throw new RangeError('unknown kind of log record');
  }
}
