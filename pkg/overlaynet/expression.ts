import {
  CtState,
  encodeAddress,
  encodeIpv4,
  encodeMac,
  parseCidr,
  type RuleExpression,
  type SetElement,
} from 'vxlan-netlink';
import { isAddressOrPrefix } from '../model/index.ts';
import { type Family, IPV4 } from './family.ts';

/*
 * The handful of nf_tables phrases that our rules are made of. Registers 1 and 2 are 16 bytes each; 9 and 10 are the second
 * and third quarter of 1, behind which an IPv4 address ends and an IPv6 one does not.
 */
const PROTOCOL_NUMBER = { icmp: 1, tcp: 6, udp: 17, sctp: 132 } as const;
const INTERFACE_NAME_LENGTH = 16;
const DESTINATION_PORT_OFFSET = 2;
export const TCP_FLAGS_OFFSET = 13;
const TCP_FLAG_SYN = 2;
/** Behind protocol and port. */
const SLOT_REGISTER = 10;
const FIB_TYPE_LOCAL = 2;

export type Protocol = keyof typeof PROTOCOL_NUMBER;

/** A 32-bit number as registers hold it. */
export function hostOrder(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

function equals(value: Buffer): RuleExpression {
  return { kind: 'cmp', source: 1, operator: 'eq', value };
}

/** `ip daddr` into a register. */
export function loadDestination(
  { destinationOffset: offset, length } = IPV4,
  target = 1,
): RuleExpression {
  return { kind: 'payload', base: 'network', offset, length, target };
}

/** `ip saddr` into a register. */
export function loadSource(
  target: number,
  { sourceOffset: offset, length } = IPV4,
): RuleExpression {
  return { kind: 'payload', base: 'network', offset, length, target };
}

export function matchDestination(address: string): readonly RuleExpression[] {
  return [loadDestination(), equals(encodeIpv4(address))];
}

/** `ip saddr prefix` or `ip saddr != prefix`, of the family */
export function matchSource(
  prefix: string,
  family = IPV4,
  operator: 'eq' | 'neq' = 'eq',
): readonly RuleExpression[] {
  return [loadSource(1, family), ...matchLoadedPrefix(prefix, family, operator)];
}

/** `ip daddr != prefix`, of the family */
export function matchOthers(prefix: string, family: Family): readonly RuleExpression[] {
  return [loadDestination(family), ...matchLoadedPrefix(prefix, family, 'neq')];
}

/**
 * One match for each link, and for each address or prefix of the family, at which a published port is open. Elsewhere the
 * host answers as if nothing were published. Absent: everywhere.
 */
export function matchPlaces(
  places: readonly string[] | undefined,
  family: Family,
): readonly (readonly RuleExpression[])[] {
  if (places === undefined) return [[]];
  return places.flatMap((place) => {
    if (!isAddressOrPrefix(place)) return [matchLink('iifname', 'eq', place)];
    if (!family.has(place)) return [];
    const prefix = place.includes('/') ? place : `${place}/${family.length * 8}`;
    return [[loadDestination(family), ...matchLoadedPrefix(prefix, family)]];
  });
}

function matchLoadedPrefix(
  prefix: string,
  { length }: Family,
  operator: 'eq' | 'neq' = 'eq',
): readonly RuleExpression[] {
  const { address, prefixLength } = parseCidr(prefix);
  const mask = prefixMask(prefixLength, length);
  const value = Buffer.from(encodeAddress(address).map((byte, at) => byte & (mask[at] ?? 0)));
  return [
    { kind: 'bitwise', source: 1, target: 1, mask, xor: Buffer.alloc(length) },
    { kind: 'cmp', source: 1, operator, value },
  ];
}

export function matchLink(
  direction: 'iifname' | 'oifname',
  operator: 'eq' | 'neq',
  link: string,
): readonly RuleExpression[] {
  const value = Buffer.alloc(INTERFACE_NAME_LENGTH);
  value.write(link);
  return [
    { kind: 'meta', key: direction, target: 1 },
    { kind: 'cmp', source: 1, operator, value },
  ];
}

export function matchProtocol(protocol: Protocol): readonly RuleExpression[] {
  return [
    { kind: 'meta', key: 'l4proto', target: 1 },
    equals(Buffer.from([PROTOCOL_NUMBER[protocol]])),
  ];
}

/** `tcp flags syn tcp option maxseg size set rt mtu`: no segment needs to be broken up behind this host. */
export const clampSegments: readonly RuleExpression[] = [
  ...matchProtocol('tcp'),
  { kind: 'payload', base: 'transport', offset: TCP_FLAGS_OFFSET, length: 1, target: 1 },
  {
    kind: 'bitwise',
    source: 1,
    target: 1,
    mask: Buffer.from([TCP_FLAG_SYN]),
    xor: Buffer.from([0]),
  },
  { kind: 'cmp', source: 1, operator: 'neq', value: Buffer.from([0]) },
  { kind: 'route-tcp-mss', target: 1 },
  { kind: 'to-network-order', source: 1, target: 1 },
  { kind: 'tcp-mss-set', source: 1 },
];

export function matchPort(port: number): readonly RuleExpression[] {
  return matchTransport(DESTINATION_PORT_OFFSET, portBytes(port));
}

/** These bytes at an offset of the transport header. */
export function matchTransport(offset: number, value: Buffer): readonly RuleExpression[] {
  return [
    { kind: 'payload', base: 'transport', offset, length: value.length, target: 1 },
    equals(value),
  ];
}

/** The destination is an address of this namespace. */
export const matchLocalDestination: readonly RuleExpression[] = [
  { kind: 'fib-destination-type', target: 1 },
  equals(hostOrder(FIB_TYPE_LOCAL)),
];

export const matchNewConnection: readonly RuleExpression[] = matchCtBits('state', CtState.new);

/** `ct state` or `ct status` has any of these bits. */
export function matchCtBits(key: 'state' | 'status', bits: number): readonly RuleExpression[] {
  return [
    { kind: 'ct', key, target: 1 },
    { kind: 'bitwise', source: 1, target: 1, mask: hostOrder(bits), xor: hostOrder(0) },
    { kind: 'cmp', source: 1, operator: 'neq', value: hostOrder(0) },
  ];
}

/** `meta mark value` */
export function matchMark(value: number): readonly RuleExpression[] {
  return [{ kind: 'meta', key: 'mark', target: 1 }, equals(hostOrder(value))];
}

/** `(ct mark & mask) == value` */
export function matchCtMark(mask: number, value: number): readonly RuleExpression[] {
  return [
    { kind: 'ct', key: 'mark', target: 1 },
    { kind: 'bitwise', source: 1, target: 1, mask: hostOrder(mask), xor: hostOrder(0) },
    equals(hostOrder(value)),
  ];
}

/** `meta l4proto . th dport` */
const loadPort: readonly RuleExpression[] = [
  { kind: 'meta', key: 'l4proto', target: 1 },
  { kind: 'payload', base: 'transport', offset: DESTINATION_PORT_OFFSET, length: 2, target: 9 },
];

/** `meta l4proto . th dport vmap @set` */
export function dispatchOnPort(set: string): readonly RuleExpression[] {
  return [...loadPort, { kind: 'lookup', set, source: 1, target: 0 }];
}

/**
 * `dnat to` the address of one of so many slots of a published port: each new connection the next, or one by the client's
 * address. Nothing when the map has no such slot.
 * @param set map of `slotElement`s
 */
export function balance(
  slots: number,
  options: {
    readonly set: string;
    readonly family: Family;
    readonly port: number;
    readonly byClient: boolean;
  },
): readonly RuleExpression[] {
  const { family, set } = options;
  const choose: readonly RuleExpression[] = options.byClient
    ? [
        loadSource(2, family),
        {
          kind: 'jhash',
          source: 2,
          length: family.length,
          modulus: slots,
          seed: 0,
          target: SLOT_REGISTER,
        },
      ]
    : [{ kind: 'numgen', mode: 'increment', modulus: slots, target: SLOT_REGISTER }];
  return [
    ...loadPort,
    ...choose,
    { kind: 'lookup', set, source: 1, target: 1 },
    ...translateLoaded(options.port),
  ];
}

/** `dnat to address[:port]` */
export function translateTo(address: string, port?: number): readonly RuleExpression[] {
  return [
    { kind: 'immediate', target: 1, value: encodeAddress(address) },
    ...translateLoaded(port),
  ];
}

/** Verdict map entry from protocol and port to a chain. */
export function portElement(protocol: Protocol, port: number, chain: string): SetElement {
  return { key: portKey(protocol, port), verdict: { verdict: 'goto', chain } };
}

/** Map entry from protocol, port and the number of a slot to an address. */
export function slotElement(
  { protocol, port }: { readonly protocol: Protocol; readonly port: number },
  slot: number,
  address: string,
): SetElement {
  const key = Buffer.concat([portKey(protocol, port), hostOrder(slot)]);
  return { key, value: encodeAddress(address) };
}

function portKey(protocol: Protocol, port: number): Buffer {
  const key = Buffer.alloc(8);
  key.writeUInt8(PROTOCOL_NUMBER[protocol], 0);
  key.writeUInt16BE(port, 4);
  return key;
}

export function macElement(mac: string, value: Buffer): SetElement {
  return { key: encodeMac(mac), value };
}

/** 02:42 and the four bytes of the address, as Docker derives it: no MAC address has to be distributed. */
export function macOf(address: string): string {
  const bytes = [0x02, 0x42, ...encodeIpv4(address)];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

export function addressWithoutPrefix(cidr: string): string {
  return parseCidr(cidr).address;
}

export function portBytes(port: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(port);
  return bytes;
}

function translateLoaded(port?: number): readonly RuleExpression[] {
  if (port === undefined) return [{ kind: 'dnat', address: 1 }];
  return [
    { kind: 'immediate', target: 2, value: portBytes(port) },
    { kind: 'dnat', address: 1, port: 2 },
  ];
}

function prefixMask(prefixLength: number, length: number): Buffer {
  return Buffer.from(
    Array.from({ length }, (_, at) => {
      const bits = Math.min(8, Math.max(0, prefixLength - at * 8));
      return 0xff & (0xff << (8 - bits));
    }),
  );
}
