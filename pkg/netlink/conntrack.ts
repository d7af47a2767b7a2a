import { decodeAddress, encodeAddress } from './address.ts';
import { encodeBody, findAttribute, type Message, readAttributes } from './message.ts';
import type { NetlinkSocket } from './socket.ts';
import { hasCode } from './syscall-error.ts';

const GET_ENTRIES = 0x101;
const DELETE_ENTRY = 0x102;
const GET_STATISTICS = 0x105;
const STATISTICS_ENTRIES = 1;
const NF_FAMILY_ANY = 0;
const NF_FAMILY_IPV4 = 2;
const NF_FAMILY_IPV6 = 10;
const FAMILY_HEADER_LENGTH = 4;
const IPV6_LENGTH = 16;
const TUPLE_ORIGINAL = 1;
const TUPLE_REPLY = 2;
const STATUS = 3;
const TIMEOUT = 7;
const COUNTERS_ORIGINAL = 9;
const COUNTERS_REPLY = 10;
const COUNTER_PACKETS = 1;
const ID = 12;
const FILTER = 25;
const FILTER_REPLY = 2;
/** Flags that say which fields of a tuple must match (`CTA_FILTER_FLAG_*`). */
const FILTER_SOURCE_ADDRESS = 1;
const FILTER_PROTOCOL = 8;
const TUPLE_ADDRESSES = 1;
const TUPLE_TRANSPORT = 2;
const PROTOCOL_NUMBER = 1;
const NONE = Buffer.alloc(0);
const NO_ADDRESS = Buffer.alloc(4);
/** Attributes of a tuple's protocol. */
const SOURCE_PORT = 2;
const DESTINATION_PORT = 3;
const NESTED = 0x8000;
/** Bit of the status: packets went both ways for a while. */
const ASSURED = 4;
/** Attributes of a tuple's addresses; a tuple has those of one family. */
const TupleAddress = { source: [1, 3], destination: [2, 4] } as const;

/** A tracked connection; addresses as the client sent them and as the answer comes back. */
export interface Connection {
  /** 6 TCP, 17 UDP, 1 ICMP. */
  readonly protocol: number;
  readonly source: string;
  readonly originalDestination: string;
  /** As the client sent them; absent for protocols without ports. */
  readonly ports?: { readonly source: number; readonly destination: number } | undefined;
  readonly replySource: string;
  /** Counted only where the namespace's `net.netfilter.nf_conntrack_acct` was 1 when the connection began. */
  readonly packets?: { readonly sent: bigint; readonly answered: bigint } | undefined;
  /** When the kernel forgets it if nothing more comes, rounded down; counted from its last packet. */
  readonly expiresInSeconds: number;
  /** Packets went both ways for a while: longer time-outs hold for it. */
  readonly assured: boolean;
}

/** One that was found, to be forgotten by `deleteConnection`. */
export interface TrackedConnection {
  readonly connection: Connection;
  /** Its tuple as the kernel sent it. */
  readonly original: Buffer;
  readonly id: Buffer | undefined;
}

/** The kernel walks its table about as fast as this many of its entries are read. */
const ENTRIES_PER_WALK = 2000;

export interface ConnectionsWanted {
  /** Those that one of these addresses answers, as `replySource` has it. */
  readonly answeredBy: ReadonlySet<string>;
  /** All when absent. */
  readonly protocol?: number | undefined;
}

/**
 * The tracked connections of the socket's namespace, all or those that are wanted. Each question makes the kernel walk
 * the machine's whole table: milliseconds. Of a namespace with very many entries it is asked for each IPv4 address
 * alone, otherwise everything is read and picked here.
 */
export function findConnections(
  socket: NetlinkSocket,
  wanted?: ConnectionsWanted,
): readonly TrackedConnection[] {
  const entries = countEntries(socket);
  if (entries === 0) return [];
  if (wanted === undefined) return readEntries(socket, familyHeader(NF_FAMILY_ANY), () => true);
  const { protocol } = wanted;
  const addresses = [...wanted.answeredBy].map(encodeAddress);
  const questions =
    entries < addresses.length * ENTRIES_PER_WALK
      ? [familyHeader(NF_FAMILY_ANY)]
      : questionsFor(addresses, protocol);
  const wants = isWanted(addresses, protocol);
  return questions.flatMap((question) => readEntries(socket, question, wants));
}

/** Forgets connections whatever they are now, many with one system call. */
export function deleteConnections(
  socket: NetlinkSocket,
  tracked: readonly TrackedConnection[],
): void {
  socket.batch(tracked.map(deletion), ['ENOENT']);
}

/**
 * Forgets a connection, unless it is told to keep it for what it is now: its next packet is looked at afresh.
 * @returns false when it was kept; true too when the kernel forgot it by itself
 */
export function deleteConnection(
  socket: NetlinkSocket,
  tracked: TrackedConnection,
  keep: (connection: Connection) => boolean = (): boolean => false,
): boolean {
  const now = readEntry(socket, tracked.original);
  if (now === undefined) return true;
  if (keep(now.connection)) return false;
  remove(socket, now);
  return true;
}

function countEntries(socket: NetlinkSocket): number {
  const body = familyHeader(NF_FAMILY_ANY);
  const [answer] = socket.request({ type: GET_STATISTICS, flags: 0, body });
  return numberOf(answer && findAttribute(answer, STATISTICS_ENTRIES, FAMILY_HEADER_LENGTH));
}

/** One for each IPv4 address, one for all those of IPv6: asked for one of them Linux (6.18 does) sends those of all others. */
function questionsFor(
  addresses: readonly Buffer[],
  protocol: number | undefined,
): readonly Buffer[] {
  const ipv4 = addresses.filter(({ length }) => length < IPV6_LENGTH);
  const rest = addresses.length > ipv4.length ? [familyHeader(NF_FAMILY_IPV6)] : [];
  return [...ipv4.map((address) => entriesAnsweredBy(address, protocol)), ...rest];
}

/** CTA_FILTER, since Linux 5.8. */
function entriesAnsweredBy(address: Buffer, protocol: number | undefined): Buffer {
  const [source] = TupleAddress.source;
  const flags = FILTER_SOURCE_ADDRESS | (protocol === undefined ? 0 : FILTER_PROTOCOL);
  return encodeBody((writer) => {
    writer
      .bytes(familyHeader(NF_FAMILY_IPV4))
      .nested(FILTER, (filter) => filter.attributeU32(FILTER_REPLY, flags))
      .nested(TUPLE_REPLY, (tuple) => {
        tuple.nested(TUPLE_ADDRESSES, (inner) => inner.attribute(source, address));
        if (protocol === undefined) return;
        tuple.nested(TUPLE_TRANSPORT, (inner) => inner.attributeU8(PROTOCOL_NUMBER, protocol));
      });
  });
}

function readEntries(
  socket: NetlinkSocket,
  question: Buffer,
  wants: (body: Buffer) => boolean,
): readonly TrackedConnection[] {
  return socket
    .dump({ type: GET_ENTRIES, flags: 0, body: question }, wants)
    .flatMap((body) => parseEntry(body) ?? []);
}

/** Looks at few fields: there can be a hundred thousand entries. */
function isWanted(
  addresses: readonly Buffer[],
  protocol: number | undefined,
): (body: Buffer) => boolean {
  const names = new Set(addresses.map((address) => address.toString('latin1')));
  return (body) => {
    const reply = findAttribute(body, TUPLE_REPLY, FAMILY_HEADER_LENGTH);
    const source = reply && sourceOf(reply);
    if (reply === undefined || source === undefined) return false;
    if (!names.has(source.toString('latin1'))) return false;
    return protocol === undefined || protocolOf(reply) === protocol;
  };
}

function sourceOf(tuple: Buffer): Buffer | undefined {
  const [ipv4, ipv6] = TupleAddress.source;
  const addresses = findAttribute(tuple, TUPLE_ADDRESSES);
  return addresses && (findAttribute(addresses, ipv4) ?? findAttribute(addresses, ipv6));
}

function protocolOf(tuple: Buffer): number | undefined {
  const transport = findAttribute(tuple, TUPLE_TRANSPORT);
  return transport && findAttribute(transport, PROTOCOL_NUMBER)?.[0];
}

function parseEntry(body: Buffer): TrackedConnection | undefined {
  const attributes = readAttributes(body, FAMILY_HEADER_LENGTH);
  const original = attributes.get(TUPLE_ORIGINAL);
  const reply = attributes.get(TUPLE_REPLY);
  if (original === undefined || reply === undefined) return undefined;
  const sent = packetsOf(attributes.get(COUNTERS_ORIGINAL));
  const answered = packetsOf(attributes.get(COUNTERS_REPLY));
  const packets = sent === undefined || answered === undefined ? undefined : { sent, answered };
  const connection = {
    ...parseTuple(original),
    replySource: decodeAddress(sourceOf(reply) ?? NO_ADDRESS),
    packets,
    expiresInSeconds: numberOf(attributes.get(TIMEOUT)),
    assured: (numberOf(attributes.get(STATUS)) & ASSURED) !== 0,
  };
  return { connection, original, id: attributes.get(ID) };
}

function packetsOf(counters: Buffer | undefined): bigint | undefined {
  const packets = counters && findAttribute(counters, COUNTER_PACKETS);
  return packets?.length === 8 ? packets.readBigUInt64BE() : undefined;
}

function numberOf(attribute: Buffer | undefined): number {
  return attribute?.length === 4 ? attribute.readUInt32BE() : 0;
}

/** Undefined when the kernel forgot it by itself. */
function readEntry(socket: NetlinkSocket, original: Buffer): TrackedConnection | undefined {
  const body = encodeBody((writer) => {
    writer
      .bytes(familyHeader(familyOfTuple(original)))
      .attribute(TUPLE_ORIGINAL | NESTED, original);
  });
  try {
    const [answer] = socket.request({ type: GET_ENTRIES, flags: 0, body });
    return answer && parseEntry(answer);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function remove(socket: NetlinkSocket, tracked: TrackedConnection): void {
  try {
    socket.request(deletion(tracked));
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}

function deletion({ original, id }: TrackedConnection): Message {
  const body = encodeBody((writer) => {
    writer
      .bytes(familyHeader(familyOfTuple(original)))
      .attribute(TUPLE_ORIGINAL | NESTED, original);
    if (id !== undefined) writer.attribute(ID, id);
  });
  return { type: DELETE_ENTRY, flags: 0, body };
}

function familyHeader(family: number): Buffer {
  return Buffer.from([family, 0, 0, 0]);
}

function familyOfTuple(tuple: Buffer): number {
  const addresses = readAttributes(readAttributes(tuple).get(TUPLE_ADDRESSES) ?? Buffer.alloc(0));
  return addresses.has(TupleAddress.source[1]) ? NF_FAMILY_IPV6 : NF_FAMILY_IPV4;
}

function parseTuple(
  tuple: Buffer,
): Pick<Connection, 'protocol' | 'source' | 'originalDestination' | 'ports'> {
  const addresses = findAttribute(tuple, TUPLE_ADDRESSES) ?? NONE;
  const transport = findAttribute(tuple, TUPLE_TRANSPORT) ?? NONE;
  const read = ([ipv4, ipv6]: readonly [number, number]): string =>
    decodeAddress(findAttribute(addresses, ipv4) ?? findAttribute(addresses, ipv6) ?? NO_ADDRESS);
  const source = findAttribute(transport, SOURCE_PORT)?.readUInt16BE(0);
  const destination = findAttribute(transport, DESTINATION_PORT)?.readUInt16BE(0);
  return {
    source: read(TupleAddress.source),
    originalDestination: read(TupleAddress.destination),
    protocol: protocolOf(tuple) ?? 0,
    ports: source === undefined || destination === undefined ? undefined : { source, destination },
  };
}
