import { decodeAddress, decodeMac, encodeAddress, encodeMac, isIpv6 } from '../address.ts';
import {
  encodeBody,
  type Message,
  MessageFlag,
  type MessageWriter,
  readAttributes,
  readString,
} from '../message.ts';

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_SETLINK = 19;
const AF_BRIDGE = 7;
const IFF_UP = 1;
const IFINFO_LENGTH = 16;

/** Numbers of uapi/linux/if_link.h. */
const Attribute = {
  address: 1,
  name: 3,
  mtu: 4,
  link: 5,
  master: 10,
  protocolInfo: 12,
  linkInfo: 18,
  group: 27,
  namespaceFd: 28,
} as const;
const INFO_KIND = 1;
const INFO_DATA = 2;
const VETH_PEER = 1;
const MACVLAN_MODE = 1;
/** Siblings reach each other without a switch that sends frames back. */
const MACVLAN_MODE_BRIDGE = 4;
const BridgePort = { hairpin: 4, learning: 8, isolated: 33 } as const;
const Vxlan = { id: 1, local: 4, learning: 7, proxy: 11, port: 15, local6: 17 } as const;

interface LinkCommon {
  /** At most 15 bytes. */
  readonly name: string;
  readonly mtu?: number | undefined;
  readonly mac?: string | undefined;
  /** Open namespace file: the link is born there. */
  readonly namespaceFd?: number | undefined;
}

export type NewLink =
  | (LinkCommon & { readonly kind: 'bridge' })
  | (LinkCommon & { readonly kind: 'veth'; readonly peer: LinkCommon })
  | (LinkCommon & {
      readonly kind: 'macvlan';
      /** Index, in the namespace of the netlink socket, of the link that carries its frames. */
      readonly parent: number;
    })
  | (LinkCommon & {
      readonly kind: 'vxlan';
      readonly vni: number;
      /**
       * Source address of the tunnel, whose family all its ends have; its UDP socket, of that family alone, is in the
       * namespace of the netlink socket.
       */
      readonly local: string;
      readonly port: number;
    });

export interface LinkChange {
  readonly up?: boolean | undefined;
  readonly mtu?: number | undefined;
  readonly mac?: string | undefined;
  /** Index of the bridge to join; 0 leaves it. */
  readonly master?: number | undefined;
  readonly name?: string | undefined;
  /** Links are born in group 0. */
  readonly group?: number | undefined;
  readonly namespaceFd?: number | undefined;
}

export interface Link {
  readonly index: number;
  readonly name: string;
  /** `bridge`, `veth`, `vxlan`, … or empty. */
  readonly kind: string;
  readonly up: boolean;
  readonly mtu: number;
  readonly mac: string;
  /** 0 when it is in no bridge. */
  readonly master: number;
  readonly vxlan?:
    | { readonly vni: number; readonly local: string; readonly port: number }
    | undefined;
}

/**
 * RTM_NEWLINK. A macvlan link lets its siblings reach each other (mode bridge). A VXLAN link is made for static tables: no learning, ARP answered from the neighbour table (`proxy`).
 * The kernel answers EEXIST for a taken name.
 */
export function newLink(link: NewLink): Message {
  const body = encodeBody((writer) => {
    writeHeader(writer, 0, 0, 0);
    writeCommon(writer, link);
    if (link.kind === 'macvlan') writer.attributeU32(Attribute.link, link.parent);
    writer.nested(Attribute.linkInfo, (inner) => {
      inner.attribute(INFO_KIND, Buffer.from(link.kind));
      writeKind(inner, link);
    });
  });
  return { type: RTM_NEWLINK, flags: MessageFlag.create | MessageFlag.exclusive, body };
}

export function changeLink(index: number, change: LinkChange): Message {
  const body = encodeBody((writer) => {
    writeHeader(
      writer,
      index,
      change.up === true ? IFF_UP : 0,
      change.up === undefined ? 0 : IFF_UP,
    );
    if (change.name !== undefined) writer.attributeString(Attribute.name, change.name);
    if (change.mac !== undefined) writer.attribute(Attribute.address, encodeMac(change.mac));
    for (const key of ['mtu', 'master', 'group', 'namespaceFd'] as const) {
      const value = change[key];
      if (value !== undefined) writer.attributeU32(Attribute[key], value);
    }
  });
  return { type: RTM_NEWLINK, flags: 0, body };
}

export interface BridgePortChange {
  /** Whether the bridge learns addresses from frames that arrive here. */
  readonly learning?: boolean | undefined;
  /** Isolated ports reach the bridge and other ports, not each other. */
  readonly isolated?: boolean | undefined;
  /** Whether a frame may leave by the port it came in by. */
  readonly hairpin?: boolean | undefined;
}

export function changeBridgePort(index: number, change: BridgePortChange): Message {
  const body = encodeBody((writer) => {
    writeHeader(writer, index, 0, 0, AF_BRIDGE);
    writer.nested(Attribute.protocolInfo, (inner) => {
      for (const key of ['hairpin', 'learning', 'isolated'] as const) {
        const value = change[key];
        if (value !== undefined) inner.attributeU8(BridgePort[key], value ? 1 : 0);
      }
    });
  });
  return { type: RTM_SETLINK, flags: 0, body };
}

export function deleteLink(index: number): Message {
  return {
    type: RTM_DELLINK,
    flags: 0,
    body: encodeBody((writer) => writeHeader(writer, index, 0, 0)),
  };
}

/** Deletes all links of a group at once; ENODEV when there is none. They wait together for what each would wait for. */
export function deleteLinkGroup(group: number): Message {
  const body = encodeBody((writer) => {
    writeHeader(writer, 0, 0, 0);
    writer.attributeU32(Attribute.group, group);
  });
  return { type: RTM_DELLINK, flags: 0, body };
}

/** Asks for one link; the kernel answers ENODEV when there is none. */
export function getLink(name: string): Message {
  const body = encodeBody((writer) => {
    writeHeader(writer, 0, 0, 0);
    writer.attributeString(Attribute.name, name);
  });
  return { type: RTM_GETLINK, flags: 0, body };
}

export function dumpLinks(): Message {
  return {
    type: RTM_GETLINK,
    flags: 0,
    body: encodeBody((writer) => writeHeader(writer, 0, 0, 0)),
  };
}

export function parseLink(body: Buffer): Link {
  const attributes = readAttributes(body, IFINFO_LENGTH);
  const info = readAttributes(attributes.get(Attribute.linkInfo) ?? Buffer.alloc(0));
  const kind = readString(info.get(INFO_KIND));
  return {
    index: body.readInt32LE(4),
    name: readString(attributes.get(Attribute.name)),
    kind,
    up: (body.readUInt32LE(8) & IFF_UP) !== 0,
    mtu: attributes.get(Attribute.mtu)?.readUInt32LE(0) ?? 0,
    mac: decodeMac(attributes.get(Attribute.address) ?? Buffer.alloc(0)),
    master: attributes.get(Attribute.master)?.readUInt32LE(0) ?? 0,
    vxlan: kind === 'vxlan' ? parseVxlan(info.get(INFO_DATA) ?? Buffer.alloc(0)) : undefined,
  };
}

function parseVxlan(data: Buffer): Link['vxlan'] {
  const attributes = readAttributes(data);
  const local = attributes.get(Vxlan.local) ?? attributes.get(Vxlan.local6);
  return {
    vni: attributes.get(Vxlan.id)?.readUInt32LE(0) ?? 0,
    local: local === undefined ? '' : decodeAddress(local),
    port: attributes.get(Vxlan.port)?.readUInt16BE(0) ?? 0,
  };
}

function writeHeader(
  writer: MessageWriter,
  index: number,
  flags: number,
  ...[change = 0, family = 0]: readonly number[]
): void {
  writer.u8(family).u8(0).u16(0).u32(index).u32(flags).u32(change);
}

function writeCommon(writer: MessageWriter, link: LinkCommon): void {
  writer.attributeString(Attribute.name, link.name);
  if (link.mtu !== undefined) writer.attributeU32(Attribute.mtu, link.mtu);
  if (link.mac !== undefined) writer.attribute(Attribute.address, encodeMac(link.mac));
  if (link.namespaceFd !== undefined) writer.attributeU32(Attribute.namespaceFd, link.namespaceFd);
}

function writeKind(writer: MessageWriter, link: NewLink): void {
  if (link.kind === 'veth') {
    writer.nested(INFO_DATA, (inner) => {
      inner.nested(VETH_PEER, (peer) => {
        writeHeader(peer, 0, 0, 0);
        writeCommon(peer, link.peer);
      });
    });
  }
  if (link.kind === 'macvlan') {
    writer.nested(INFO_DATA, (inner) => inner.attributeU32(MACVLAN_MODE, MACVLAN_MODE_BRIDGE));
  }
  if (link.kind === 'vxlan') {
    writer.nested(INFO_DATA, (inner) => {
      inner
        .attributeU32(Vxlan.id, link.vni)
        .attribute(isIpv6(link.local) ? Vxlan.local6 : Vxlan.local, encodeAddress(link.local))
        .attributeU8(Vxlan.learning, 0)
        .attributeU8(Vxlan.proxy, 1)
        .attributeBe16(Vxlan.port, link.port);
    });
  }
}
