import { compareText, type NetworkEndpoint, type NetworkTable } from '../model/index.ts';

export function inService(endpoint: NetworkEndpoint): boolean {
  return endpoint.state === 'in-service';
}

/** Addresses by service id, each as often as it has slots. */
export type Backends = ReadonlyMap<string, readonly string[]>;

/**
 * The slots of one service: every address in service as often as its weight says, in an order that spreads an address
 * over the whole round. The same on every host.
 */
export function slotsOf(endpoints: readonly NetworkEndpoint[]): readonly string[] {
  const weighted = endpoints
    .filter(inService)
    .flatMap(({ addresses, weight }) =>
      addresses.map((address) => ({ address, weight: weight ?? 1 })),
    )
    .toSorted((left, right) => compareText(left.address, right.address));
  const divisor = weighted.reduce((common, { weight }) => greatestDivisor(common, weight), 0);
  if (weighted.every(({ weight }) => weight === divisor)) {
    return weighted.map(({ address }) => address);
  }
  const places = weighted.flatMap(({ address, weight }) => {
    const count = weight / divisor;
    return Array.from({ length: count }, (_, at) => ({ address, at: (at + 0.5) / count }));
  });
  return places.toSorted((left, right) => left.at - right.at).map(({ address }) => address);
}

export function backendsByService(table: NetworkTable): Backends {
  const groups = new Map<string, NetworkEndpoint[]>();
  for (const endpoint of table.endpoints) {
    const group = groups.get(endpoint.serviceId);
    if (group) group.push(endpoint);
    else groups.set(endpoint.serviceId, [endpoint]);
  }
  return new Map([...groups].map(([service, endpoints]) => [service, slotsOf(endpoints)]));
}

function greatestDivisor(left: number, right: number): number {
  return right === 0 ? left : greatestDivisor(right, left % right);
}

/**
 * Slots by rendezvous hashing: when a backend comes or goes only the clients of its slots move. Sixteen for each
 * backend, rounded up so that their number seldom changes.
 */
export function stickySlots(backends: readonly string[]): readonly string[] {
  const count = 2 ** Math.ceil(Math.log2(backends.length * 16));
  const seeds = backends.map((address, at) => {
    const before = backends.slice(0, at).filter((other) => other === address).length;
    return { address, seed: hashOf(`${address} ${before}`) };
  });
  return Array.from({ length: count }, (_, slot) => {
    const ranked = seeds.map(({ address, seed }) => ({ address, rank: mix(seed ^ mix(slot)) }));
    return ranked.reduce((best, one) => (one.rank > best.rank ? one : best)).address;
  });
}

/** The same round begun elsewhere, so that not everybody begins with the same backend. */
export function beganAt(slots: readonly string[], who: string): readonly string[] {
  const first = mix(hashOf(who)) % slots.length;
  return [...slots.slice(first), ...slots.slice(0, first)];
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** Finalizer of MurmurHash3. */
function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
