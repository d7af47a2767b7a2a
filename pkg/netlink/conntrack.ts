import { decodeIpv4 } from './address.ts';
import { encodeBody, type Message, readAttributes } from './message.ts';
import type { NetlinkSocket } from './socket.ts';
import { hasCode } from './syscall-error.ts';

const GET_ENTRIES = 0x101;
const DELETE_ENTRY = 0x102;
const NF_FAMILY_IPV4 = 2;
const FAMILY_HEADER_LENGTH = 4;
const TUPLE_ORIGINAL = 1;
const TUPLE_REPLY = 2;
const ID = 12;
const NESTED = 0x8000;

/** A tracked connection; addresses as the client sent them and as the answer comes back. */
export interface Connection {
  /** 6 TCP, 17 UDP, 1 ICMP. */
  readonly protocol: number;
  readonly source: string;
  readonly originalDestination: string;
  readonly replySource: string;
}

/**
 * Forgets the tracked IPv4 connections that match, in the socket's namespace: the next packet is looked at afresh.
 * @returns how many
 */
export function deleteConnections(
  socket: NetlinkSocket,
  matches: (connection: Connection) => boolean,
): number {
  let count = 0;
  for (const body of socket.dump({ type: GET_ENTRIES, flags: 0, body: familyHeader() })) {
    const attributes = readAttributes(body, FAMILY_HEADER_LENGTH);
    const original = attributes.get(TUPLE_ORIGINAL);
    const reply = attributes.get(TUPLE_REPLY);
    if (original === undefined || reply === undefined) continue;
    const connection = {
      ...parseTuple(original),
      replySource: parseTuple(reply).source,
    };
    if (matches(connection) && remove(socket, original, attributes.get(ID))) count++;
  }
  return count;
}

function remove(socket: NetlinkSocket, original: Buffer, id: Buffer | undefined): boolean {
  const body = encodeBody((writer) => {
    writer.bytes(familyHeader()).attribute(TUPLE_ORIGINAL | NESTED, original);
    if (id !== undefined) writer.attribute(ID, id);
  });
  const message: Message = { type: DELETE_ENTRY, flags: 0, body };
  try {
    socket.request(message);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false;
    throw error;
  }
}

function familyHeader(): Buffer {
  return Buffer.from([NF_FAMILY_IPV4, 0, 0, 0]);
}

function parseTuple(tuple: Buffer): Omit<Connection, 'replySource'> {
  const none = Buffer.alloc(0);
  const attributes = readAttributes(tuple);
  const addresses = readAttributes(attributes.get(1) ?? none);
  const transport = readAttributes(attributes.get(2) ?? none);
  return {
    source: decodeIpv4(addresses.get(1) ?? Buffer.alloc(4)),
    originalDestination: decodeIpv4(addresses.get(2) ?? Buffer.alloc(4)),
    protocol: transport.get(1)?.readUInt8(0) ?? 0,
  };
}
