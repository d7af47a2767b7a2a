import { hkdfSync } from 'node:crypto';
import { isIpv6 } from 'vxlan-netlink';
import type { NetworkEncryption, NetworkKey, NetworkTable } from '../model/index.ts';
import type { ObservedSecurity, SecurityOperation } from './kernel/security.ts';
import { peersOf } from './peers.ts';

/** Associations and policies with this `reqid` are ours. */
const REQUEST = 0x4d75;
/** … and so are policies with these priorities; traffic between peers comes before the ban on everything else. */
const PRIORITY_PEER = 0x4d00;
const PRIORITY_BAN = 0x4dff;
const UDP = 17;
/** AES-128 and the salt of RFC 4106. */
const KEY_BYTES = 20;
const SPI_BYTES = 4;
/** RFC 4303 section 2.1: the ones below are reserved. */
const SPI_FIRST = 256;

/**
 * Encrypted tunnels have a UDP port of their own, so that policies tell them from the others by it; it is never seen
 * outside the hosts.
 */
export function encryptedPort(table: Pick<NetworkTable, 'dataPathPort'>): number {
  return table.dataPathPort + 1;
}

/** What every encrypted network of this host asks for; they have peers, keys and port in common. */
export interface EncryptionNeed {
  readonly self: string;
  /** Underlay addresses of the other hosts. */
  readonly peers: readonly string[];
  readonly port: number;
  readonly encryption: NetworkEncryption;
}

/** Undefined when none of the networks is encrypted. */
export function encryptionNeed(
  tables: readonly NetworkTable[],
  self: string,
): EncryptionNeed | undefined {
  const table = tables.find(({ encryption }) => encryption !== undefined);
  if (table?.encryption === undefined) return undefined;
  return {
    self,
    peers: peersOf([table], self).filter((peer) => peer !== self),
    port: encryptedPort(table),
    encryption: table.encryption,
  };
}

/**
 * From what the kernel holds to what is needed. Associations exist before policies ask for them and go after these;
 * the ban comes first and goes last, so that no packet of an encrypted network ever leaves or enters in clear.
 */
export function planSecurity(
  need: EncryptionNeed | undefined,
  observed: ObservedSecurity,
): readonly SecurityOperation[] {
  const wanted = need === undefined ? [] : need.peers.flatMap((peer) => towards(need, peer));
  const associations = wanted.filter((one) => one.do === 'add-association');
  const policies = [
    ...(need === undefined ? [] : bans(need)),
    ...wanted.filter((one) => one.do === 'put-policy'),
  ];
  const ours = {
    associations: observed.associations.filter(({ request }) => request === REQUEST),
    policies: observed.policies.filter(
      ({ priority }) => priority === PRIORITY_PEER || priority === PRIORITY_BAN,
    ),
  };
  const held = new Set(ours.associations.map(associationKey));
  const kept = new Set(associations.map(({ association }) => associationKey(association)));
  const heldPolicies = new Set(ours.policies.map(policyKey));
  const keptPlaces = new Set(policies.map(({ policy }) => placeOf(policy)));
  return [
    ...associations.filter(({ association }) => !held.has(associationKey(association))),
    ...policies.filter(({ policy }) => !heldPolicies.has(policyKey(policy))),
    ...ours.policies
      .filter((policy) => !keptPlaces.has(placeOf(policy)))
      .toSorted((left, right) => left.priority - right.priority)
      .map((policy): SecurityOperation => ({ do: 'delete-policy', policy })),
    ...ours.associations
      .filter((association) => !kept.has(associationKey(association)))
      .map((association): SecurityOperation => ({ do: 'delete-association', association })),
  ];
}

type Addition = Extract<SecurityOperation, { do: 'add-association' | 'put-policy' }>;
type Policy = Extract<SecurityOperation, { do: 'put-policy' }>['policy'];

/** Both directions to one peer: any of the keys is understood, the current one is used. */
function towards({ self, port, encryption }: EncryptionNeed, peer: string): readonly Addition[] {
  const { keys, current } = encryption;
  const additions = keys.flatMap((key): readonly Addition[] => [
    associationOf(key, peer, self),
    ...(key.number === current ? [associationOf(key, self, peer)] : []),
  ]);
  const key = keys.find(({ number }) => number === current);
  if (key === undefined) return additions;
  const policy = (direction: 'in' | 'out', from: string, to: string, spi: number): Addition => ({
    do: 'put-policy',
    policy: {
      direction,
      selector: { source: from, destination: to, protocol: UDP, destinationPort: port },
      priority: PRIORITY_PEER,
      action: 'allow',
      template: { source: from, destination: to, spi, request: REQUEST },
    },
  });
  const { spi } = keyMaterial(key, self, peer);
  return [...additions, policy('out', self, peer, spi), policy('in', peer, self, 0)];
}

/** Whatever else has the port: hosts that are not peers (any more), and ways that are not encrypted yet. */
function bans({ self, port }: EncryptionNeed): readonly Extract<Addition, { do: 'put-policy' }>[] {
  return (['in', 'out'] as const).map((direction) => ({
    do: 'put-policy',
    policy: {
      direction,
      selector: { ...(isIpv6(self) && { ipv6: true }), protocol: UDP, destinationPort: port },
      priority: PRIORITY_BAN,
      action: 'block',
    },
  }));
}

function associationOf(
  key: NetworkKey,
  source: string,
  destination: string,
): Extract<Addition, { do: 'add-association' }> {
  const { spi, bytes } = keyMaterial(key, source, destination);
  return {
    do: 'add-association',
    association: { source, destination, spi, request: REQUEST },
    key: bytes,
  };
}

/** A key of its own for each direction between two hosts (HKDF, RFC 5869), and the number that names it on the wire. */
function keyMaterial(
  { number, secret }: NetworkKey,
  source: string,
  destination: string,
): { readonly spi: number; readonly bytes: Buffer } {
  const info = `muster esp ${number} ${source} ${destination}`;
  const derived = Buffer.from(
    hkdfSync('sha256', Buffer.from(secret, 'base64'), '', info, SPI_BYTES + KEY_BYTES),
  );
  return {
    spi: Math.max(derived.readUInt32BE(0), SPI_FIRST),
    bytes: derived.subarray(SPI_BYTES),
  };
}

function associationKey(one: {
  readonly source: string;
  readonly destination: string;
  readonly spi: number;
}): string {
  return `${one.source} ${one.destination} ${one.spi}`;
}

function policyKey(policy: Policy): string {
  const { priority, action, template } = policy;
  return `${placeOf(policy)} ${priority} ${action} ${template?.spi ?? ''} ${template?.request ?? ''}`;
}

/** Two policies cannot have the same place. */
function placeOf({ direction, selector }: Policy): string {
  const { ipv6, source, destination, destinationPort } = selector;
  return `${direction} ${ipv6 ? 'ipv6 ' : ''}${source ?? '*'} ${destination ?? '*'} ${destinationPort ?? '*'}`;
}
