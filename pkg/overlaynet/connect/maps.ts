import { encodeAddress, isIpv6 } from 'vxlan-netlink';

/*
 * What the programs in `programs.ts` look up. Addresses are of 16 bytes, those of IPv4 in the form that IPv6 has for them, so
 * one map serves both; numbers are in the processor's order, which is little-endian wherever this runs.
 */

/** Mark of sockets whose backend was chosen when they connected: in no way of the mesh's marks, which begin with 4d. */
export const CONNECTED_BY_VIP = 0x4e00_0001;
/** Counters of rounds, shared by services whose numbers are alike in their last bits. */
export const TURNS = 1_024;

const ADDRESS_BYTES = 16;
const MAPPED_PREFIX = Buffer.from('00000000000000000000ffff', 'hex');

/** Offsets of what keys and values consist of. Memory of buckets is taken at once: 16 bytes for each possible member. */
export const MAP_SHAPES = {
  /** Virtual IP → its network, how many slots its service has, and which. */
  vips: {
    kind: 'hash',
    keyBytes: ADDRESS_BYTES,
    valueBytes: 12,
    capacity: 16_384,
    value: { network: 0, slots: 4, service: 8 },
  },
  /** Number of the service, then of the slot → backend. */
  slots: { kind: 'hash', keyBytes: 8, valueBytes: ADDRESS_BYTES, capacity: 32_768 },
  /** Cookie of a namespace, then number of a network: there when the namespace is on the network. */
  members: { kind: 'hash', keyBytes: 16, valueBytes: 4, capacity: 4_096 },
  /** Backend → virtual IP: what `getpeername` says. */
  origins: { kind: 'hash', keyBytes: ADDRESS_BYTES, valueBytes: ADDRESS_BYTES, capacity: 32_768 },
  /** Connections so far. */
  turns: { kind: 'array', keyBytes: 4, valueBytes: 4, capacity: TURNS },
} as const;

export type MapName = keyof typeof MAP_SHAPES;

export function addressKey(address: string): Buffer {
  const bytes = encodeAddress(address);
  return isIpv6(address) ? bytes : Buffer.concat([MAPPED_PREFIX, bytes]);
}

export function numbers(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [at, value] of values.entries()) bytes.writeUInt32LE(value >>> 0, at * 4);
  return bytes;
}

/** @param cookie of the namespace, in decimal */
export function memberKey(cookie: string, network: number): Buffer {
  const bytes = Buffer.alloc(MAP_SHAPES.members.keyBytes);
  bytes.writeBigUInt64LE(BigInt(cookie), 0);
  bytes.writeUInt32LE(network, 8);
  return bytes;
}
