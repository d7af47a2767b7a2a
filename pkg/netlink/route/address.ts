import { decodeAddress, encodeAddress, familyOf, isIpv6, parseCidr } from '../address.ts';
import { encodeBody, type Message, MessageFlag, readAttributes } from '../message.ts';

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const AF_UNSPEC = 0;
const IFADDR_LENGTH = 8;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
/** No duplicate address detection (RFC 4862): the address is used at once. IPv4 has no such thing. */
const IFA_F_NODAD = 2;
const RT_SCOPE_LINK = 253;

export interface LinkAddress {
  readonly link: number;
  /** With prefix length, `10.0.0.5/24` or `fd00::5/64`. */
  readonly address: string;
}

export interface ObservedAddress extends LinkAddress {
  /** Means something on this link alone, as the IPv6 addresses that the kernel makes by itself do. */
  readonly linkLocal: boolean;
}

export function newAddress(address: LinkAddress): Message {
  const flags = MessageFlag.create | MessageFlag.exclusive;
  return { type: RTM_NEWADDR, flags, body: encode(address) };
}

export function deleteAddress(address: LinkAddress): Message {
  return { type: RTM_DELADDR, flags: 0, body: encode(address) };
}

/** All addresses of the namespace. */
export function dumpAddresses(): Message {
  const body = encodeBody((writer) => writer.u8(AF_UNSPEC).u8(0).u16(0).u32(0));
  return { type: RTM_GETADDR, flags: 0, body };
}

export function parseAddress(body: Buffer): ObservedAddress {
  const attributes = readAttributes(body, IFADDR_LENGTH);
  const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS) ?? Buffer.alloc(4);
  return {
    link: body.readUInt32LE(4),
    address: `${decodeAddress(bytes)}/${body.readUInt8(1)}`,
    linkLocal: body.readUInt8(3) === RT_SCOPE_LINK,
  };
}

function encode({ link, address }: LinkAddress): Buffer {
  const cidr = parseCidr(address);
  const bytes = encodeAddress(cidr.address);
  return encodeBody((writer) =>
    writer
      .u8(familyOf(address))
      .u8(cidr.prefixLength)
      .u8(isIpv6(address) ? IFA_F_NODAD : 0)
      .u8(0)
      .u32(link)
      .attribute(IFA_LOCAL, bytes)
      .attribute(IFA_ADDRESS, bytes),
  );
}
