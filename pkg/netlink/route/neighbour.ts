import { decodeAddress, decodeMac, encodeAddress, encodeMac, familyOf } from '../address.ts';
import { encodeBody, type Message, MessageFlag, readAttributes } from '../message.ts';

const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
const AF_UNSPEC = 0;
const AF_BRIDGE = 7;
const NDMSG_LENGTH = 12;
const NUD_PERMANENT = 0x80;
const NUD_NOARP = 0x40;
const NTF_SELF = 0x02;
const NTF_MASTER = 0x04;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const UPSERT = MessageFlag.create | MessageFlag.replace;

/**
 * A permanent ARP or NDP entry; on a VXLAN link with `proxy` it is also what requests and solicitations are answered
 * from. For an IPv6 address the link must have IPv6 enabled.
 */
export interface Neighbour {
  readonly link: number;
  readonly address: string;
  readonly mac: string;
}

/** Where frames for a MAC address go. */
export interface FdbEntry {
  readonly link: number;
  readonly mac: string;
  /** Tunnel end, for an entry of the VXLAN link itself. Absent: an entry of the bridge that `link` is a port of. */
  readonly tunnel?: string | undefined;
}

export interface ObservedNeighbour extends Neighbour {
  readonly permanent: boolean;
}

export interface ObservedFdbEntry extends FdbEntry {
  /** Put there by configuration: neither learned nor the address of the bridge's own port. */
  readonly fixed: boolean;
}

export function putNeighbour(neighbour: Neighbour): Message {
  return { type: RTM_NEWNEIGH, flags: UPSERT, body: encodeNeighbour(neighbour) };
}

export function deleteNeighbour(neighbour: Neighbour): Message {
  return { type: RTM_DELNEIGH, flags: 0, body: encodeNeighbour(neighbour) };
}

export function dumpNeighbours(): Message {
  return { type: RTM_GETNEIGH, flags: 0, body: header(AF_UNSPEC) };
}

export function parseNeighbour(body: Buffer): ObservedNeighbour {
  const attributes = readAttributes(body, NDMSG_LENGTH);
  return {
    link: body.readInt32LE(4),
    address: decodeAddress(attributes.get(NDA_DST) ?? Buffer.alloc(4)),
    mac: decodeMac(attributes.get(NDA_LLADDR) ?? Buffer.alloc(0)),
    permanent: (body.readUInt16LE(8) & NUD_PERMANENT) !== 0,
  };
}

export function putFdbEntry(entry: FdbEntry): Message {
  return { type: RTM_NEWNEIGH, flags: UPSERT, body: encodeFdb(entry) };
}

export function deleteFdbEntry(entry: FdbEntry): Message {
  return { type: RTM_DELNEIGH, flags: 0, body: encodeFdb(entry) };
}

export function dumpFdb(): Message {
  return { type: RTM_GETNEIGH, flags: 0, body: header(AF_BRIDGE) };
}

export function parseFdbEntry(body: Buffer): ObservedFdbEntry {
  const attributes = readAttributes(body, NDMSG_LENGTH);
  const tunnel = attributes.get(NDA_DST);
  return {
    link: body.readInt32LE(4),
    mac: decodeMac(attributes.get(NDA_LLADDR) ?? Buffer.alloc(0)),
    tunnel: tunnel === undefined ? undefined : decodeAddress(tunnel),
    fixed: (body.readUInt16LE(8) & (tunnel === undefined ? NUD_NOARP : NUD_PERMANENT)) !== 0,
  };
}

function header(family: number, link = 0, ...[state = 0, flags = 0]: readonly number[]): Buffer {
  return encodeBody((writer) =>
    writer.u8(family).u8(0).u16(0).u32(link).u16(state).u8(flags).u8(0),
  );
}

function encodeNeighbour({ link, address, mac }: Neighbour): Buffer {
  return encodeBody((writer) =>
    writer
      .bytes(header(familyOf(address), link, NUD_PERMANENT))
      .attribute(NDA_DST, encodeAddress(address))
      .attribute(NDA_LLADDR, encodeMac(mac)),
  );
}

/** The two tables want different states: the bridge takes NOARP for static, VXLAN refuses all but PERMANENT. */
function encodeFdb({ link, mac, tunnel }: FdbEntry): Buffer {
  return encodeBody((writer) => {
    if (tunnel === undefined) {
      writer
        .bytes(header(AF_BRIDGE, link, NUD_NOARP, NTF_MASTER))
        .attribute(NDA_LLADDR, encodeMac(mac));
      return;
    }
    writer
      .bytes(header(AF_BRIDGE, link, NUD_PERMANENT, NTF_SELF))
      .attribute(NDA_LLADDR, encodeMac(mac))
      .attribute(NDA_DST, encodeAddress(tunnel));
  });
}
