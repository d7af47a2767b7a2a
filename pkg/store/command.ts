import type { Change, InstantMs, Version } from '../model/index.ts';
import { ByteReader, ByteWriter } from './bytes.ts';
import type { Member } from './contract.ts';

/** 128 random bits as hexadecimal text: names one attempt to write, however often it is sent. */
export type RequestId = string;

/** What a normal log entry holds: a whole transaction, with the time it takes place at. */
export interface Command {
  readonly id: RequestId;
  /** The proposer's clock; applied as the larger of it and the newest stamp so far. */
  readonly now: InstantMs;
  /** What the proposer had applied when it first sent this: if it was applied before, then behind here. */
  readonly base: Version;
  /** Only if that request was applied and not refused. */
  readonly after?: RequestId | undefined;
  /** Only if the entry is of this term: its author decided as the leader of it. */
  readonly term?: number | undefined;
  readonly changes: readonly Change[];
}

/** What a configuration change carries for the store. */
export interface MemberCommand {
  readonly id: RequestId;
  readonly now: InstantMs;
  readonly base: Version;
  /** The member that is added, or is reached at another address now; absent when one is removed. */
  readonly member?: Member | undefined;
  /** A learner that shall become a voter when it has caught up. */
  readonly promote?: boolean | undefined;
}

/** Without and with a term. */
const FORMAT = 1;
const FORMAT_TERM = 2;
const ID_BYTES = 16;
const NONE = '0'.repeat(2 * ID_BYTES);

/**
 * Format, id, predecessor (zeros: none), time, base and perhaps term in binary; the changes as JSON (docs/adr/0002).
 * `json`: theirs, where it is known already.
 */
export function encodeCommand(
  command: Command,
  json: string = JSON.stringify(command.changes),
): Uint8Array {
  const { term } = command;
  const format = term === undefined ? FORMAT : FORMAT_TERM;
  const writer = new ByteWriter(1024).u8(format).raw(Buffer.from(command.id, 'hex'));
  writer.raw(command.after ? Buffer.from(command.after, 'hex') : new Uint8Array(ID_BYTES));
  writer.uint(command.now).uint(command.base);
  if (term !== undefined) writer.uint(term);
  writer.raw(Buffer.from(json));
  return writer.finish();
}

/** @throws RangeError or SyntaxError when `data` is no command of a known version */
export function decodeCommand(data: Uint8Array): Command {
  const reader = new ByteReader(data);
  const format = reader.u8();
  if (format !== FORMAT && format !== FORMAT_TERM) {
    throw new RangeError(`command format ${format} is not known`);
  }
  const id = reader.hex(ID_BYTES);
  const after = reader.hex(ID_BYTES);
  const now = reader.uint() as InstantMs;
  const base = reader.uint() as Version;
  const term = format === FORMAT_TERM ? reader.uint() : undefined;
  const changes = JSON.parse(reader.restText()) as readonly Change[];
  return { id, now, base, after: after === NONE ? undefined : after, term, changes };
}

export function encodeMemberCommand(command: MemberCommand): Uint8Array {
  return Buffer.from(JSON.stringify(command));
}

/** Undefined for the changes that raft makes by itself. */
export function decodeMemberCommand(context: Uint8Array | undefined): MemberCommand | undefined {
  if (context === undefined || context.length === 0) return undefined;
  return JSON.parse(Buffer.from(context).toString()) as MemberCommand;
}
