import { decodeIpv4, encodeIpv4, parseCidr } from '../address.ts';
import { encodeBody, type Message, MessageFlag, readAttributes } from '../message.ts';

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const AF_INET = 2;
const IFADDR_LENGTH = 8;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;

export interface LinkAddress {
  readonly link: number;
  /** With prefix length, `10.0.0.5/24`. */
  readonly address: string;
}

export function newAddress(address: LinkAddress): Message {
  const flags = MessageFlag.create | MessageFlag.exclusive;
  return { type: RTM_NEWADDR, flags, body: encode(address) };
}

export function deleteAddress(address: LinkAddress): Message {
  return { type: RTM_DELADDR, flags: 0, body: encode(address) };
}

/** All IPv4 addresses of the namespace. */
export function dumpAddresses(): Message {
  const body = encodeBody((writer) => writer.u8(AF_INET).u8(0).u16(0).u32(0));
  return { type: RTM_GETADDR, flags: 0, body };
}

export function parseAddress(body: Buffer): LinkAddress {
  const attributes = readAttributes(body, IFADDR_LENGTH);
  const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS) ?? Buffer.alloc(4);
  return { link: body.readUInt32LE(4), address: `${decodeIpv4(bytes)}/${body.readUInt8(1)}` };
}

function encode({ link, address }: LinkAddress): Buffer {
  const cidr = parseCidr(address);
  const bytes = encodeIpv4(cidr.address);
  return encodeBody((writer) =>
    writer
      .u8(AF_INET)
      .u8(cidr.prefixLength)
      .u16(0)
      .u32(link)
      .attribute(IFA_LOCAL, bytes)
      .attribute(IFA_ADDRESS, bytes),
  );
}
