import { decodeAddress, encodeAddress, familyOf, parseCidr } from '../address.ts';
import { encodeBody, type Message, MessageFlag, readAttributes } from '../message.ts';

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const AF_UNSPEC = 0;
const RTMSG_LENGTH = 12;
const RTPROT_STATIC = 4;
const SCOPE_UNIVERSE = 0;
const SCOPE_LINK = 253;
const RTN_UNICAST = 1;
const RTN_LOCAL = 2;
const RTNH_ONLINK = 4;
/** `main` and `local` of /etc/iproute2/rt_tables. */
export const TABLE_MAIN = 254;
export const TABLE_LOCAL = 255;
const Attribute = { destination: 1, outLink: 4, gateway: 5, table: 15 } as const;

export interface Route {
  /** `default`, of the gateway's family, or a prefix. */
  readonly destination: string;
  readonly gateway?: string | undefined;
  /** Link index; required with `onLink` and without a gateway. */
  readonly link?: number | undefined;
  /** Routing table, `main` when absent. */
  readonly table?: number | undefined;
  /** The gateway is reached directly over `link` though no address of that link covers it. */
  readonly onLink?: boolean | undefined;
  /** What arrives by the link for this destination is for the host itself. Routes over several links stand side by side. */
  readonly local?: true | undefined;
}

/** A route as dumped; `protocol` tells who made it (2 kernel, 4 static). */
export interface ObservedRoute extends Route {
  readonly table: number;
  readonly local?: true | undefined;
  readonly protocol: number;
  readonly type: number;
}

/** Replaces a route of the same destination and table, but for local ones. */
export function newRoute(route: Route): Message {
  const flags = route.local ? MessageFlag.create : MessageFlag.create | MessageFlag.replace;
  return { type: RTM_NEWROUTE, flags, body: encode(route, typeOf(route)) };
}

export function deleteRoute(route: Route): Message {
  return { type: RTM_DELROUTE, flags: 0, body: encode(route, 0) };
}

function typeOf({ local }: Route): number {
  return local ? RTN_LOCAL : RTN_UNICAST;
}

/** All routes of all tables, those the kernel made included. */
export function dumpRoutes(): Message {
  const body = encodeBody((writer) => writer.u8(AF_UNSPEC).bytes(Buffer.alloc(RTMSG_LENGTH - 1)));
  return { type: RTM_GETROUTE, flags: 0, body };
}

export function parseRoute(body: Buffer): ObservedRoute {
  const attributes = readAttributes(body, RTMSG_LENGTH);
  const prefixLength = body.readUInt8(1);
  const destination = attributes.get(Attribute.destination);
  const gateway = attributes.get(Attribute.gateway);
  return {
    destination:
      destination === undefined ? 'default' : `${decodeAddress(destination)}/${prefixLength}`,
    gateway: gateway === undefined ? undefined : decodeAddress(gateway),
    link: attributes.get(Attribute.outLink)?.readUInt32LE(0),
    table: attributes.get(Attribute.table)?.readUInt32LE(0) ?? body.readUInt8(4),
    protocol: body.readUInt8(5),
    type: body.readUInt8(7),
    onLink: (body.readUInt32LE(8) & RTNH_ONLINK) !== 0,
    ...(body.readUInt8(7) === RTN_LOCAL && { local: true }),
  };
}

function encode(route: Route, type: number): Buffer {
  const cidr = route.destination === 'default' ? undefined : parseCidr(route.destination);
  const table = route.table ?? TABLE_MAIN;
  return encodeBody((writer) => {
    writer
      .u8(familyOf(route.gateway ?? route.destination))
      .u8(cidr?.prefixLength ?? 0)
      .u8(0)
      .u8(0);
    writer.u8(table < 256 ? table : 0).u8(RTPROT_STATIC);
    writer.u8(route.gateway === undefined ? SCOPE_LINK : SCOPE_UNIVERSE).u8(type);
    writer.u32(route.onLink === true ? RTNH_ONLINK : 0);
    if (cidr !== undefined) writer.attribute(Attribute.destination, encodeAddress(cidr.address));
    if (route.gateway !== undefined) {
      writer.attribute(Attribute.gateway, encodeAddress(route.gateway));
    }
    if (route.link !== undefined) writer.attributeU32(Attribute.outLink, route.link);
    writer.attributeU32(Attribute.table, table);
  });
}
