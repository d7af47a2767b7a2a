import { decodeAddress } from './address.ts';
import { encodeBody, type Message, readAttributes } from './message.ts';
import type { NetlinkSocket } from './socket.ts';
import { hasCode } from './syscall-error.ts';

const GET_ENTRIES = 0x101;
const DELETE_ENTRY = 0x102;
const NF_FAMILY_ANY = 0;
const NF_FAMILY_IPV4 = 2;
const NF_FAMILY_IPV6 = 10;
const FAMILY_HEADER_LENGTH = 4;
const TUPLE_ORIGINAL = 1;
const TUPLE_REPLY = 2;
const STATUS = 3;
const TIMEOUT = 7;
const COUNTERS_ORIGINAL = 9;
const COUNTERS_REPLY = 10;
const COUNTER_PACKETS = 1;
const ID = 12;
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

/** The tracked connections of the socket's namespace that match. Reads all of the machine's: milliseconds. */
export function findConnections(
  socket: NetlinkSocket,
  matches: (connection: Connection) => boolean,
): readonly TrackedConnection[] {
  return socket
    .dump({ type: GET_ENTRIES, flags: 0, body: familyHeader(NF_FAMILY_ANY) })
    .flatMap((body) => parseEntry(body) ?? [])
    .filter(({ connection }) => matches(connection));
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
    replySource: parseTuple(reply).source,
    packets,
    expiresInSeconds: numberOf(attributes.get(TIMEOUT)),
    assured: (numberOf(attributes.get(STATUS)) & ASSURED) !== 0,
  };
  return { connection, original, id: attributes.get(ID) };
}

function packetsOf(counters: Buffer | undefined): bigint | undefined {
  const packets = counters && readAttributes(counters).get(COUNTER_PACKETS);
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

function remove(socket: NetlinkSocket, { original, id }: TrackedConnection): void {
  const body = encodeBody((writer) => {
    writer
      .bytes(familyHeader(familyOfTuple(original)))
      .attribute(TUPLE_ORIGINAL | NESTED, original);
    if (id !== undefined) writer.attribute(ID, id);
  });
  const message: Message = { type: DELETE_ENTRY, flags: 0, body };
  try {
    socket.request(message);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}

function familyHeader(family: number): Buffer {
  return Buffer.from([family, 0, 0, 0]);
}

function familyOfTuple(tuple: Buffer): number {
  const addresses = readAttributes(readAttributes(tuple).get(1) ?? Buffer.alloc(0));
  return addresses.has(TupleAddress.source[1]) ? NF_FAMILY_IPV6 : NF_FAMILY_IPV4;
}

function parseTuple(
  tuple: Buffer,
): Pick<Connection, 'protocol' | 'source' | 'originalDestination' | 'ports'> {
  const none = Buffer.alloc(0);
  const attributes = readAttributes(tuple);
  const addresses = readAttributes(attributes.get(1) ?? none);
  const transport = readAttributes(attributes.get(2) ?? none);
  const read = ([ipv4, ipv6]: readonly [number, number]): string =>
    decodeAddress(addresses.get(ipv4) ?? addresses.get(ipv6) ?? Buffer.alloc(4));
  const source = transport.get(SOURCE_PORT)?.readUInt16BE(0);
  const destination = transport.get(DESTINATION_PORT)?.readUInt16BE(0);
  return {
    source: read(TupleAddress.source),
    originalDestination: read(TupleAddress.destination),
    protocol: transport.get(1)?.readUInt8(0) ?? 0,
    ports: source === undefined || destination === undefined ? undefined : { source, destination },
  };
}
