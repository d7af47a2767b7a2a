import { networkInterfaces } from 'node:os';
import {
  ClusterError,
  canonicalAddress,
  joinHostPort,
  splitHostPort,
} from '../../pkg/model/index.ts';

/** Of managers. */
const PORT_DEFAULT = 2377;

/**
 * The address others reach this host at: what was asked for (an address or the name of an interface, a port is
 * dropped), else what the agent was configured with, else the only one there is.
 * @throws ClusterError invalid when it cannot be decided, with Docker's text
 */
export function advertiseAddress(asked: string | undefined, configured: string): string {
  const wish = withoutPort(asked || configured);
  const named = canonicalAddress(wish);
  if (named !== undefined && !MEANS_NOTHING_ELSEWHERE.test(named)) return named;
  const all = hostAddresses();
  if (wish !== '') {
    const [found] = preferred(all.filter((entry) => entry.link === wish));
    if (found) return found.address;
    throw new ClusterError(
      'invalid',
      `advertise address must be a non-zero IP address or network interface (with optional port number), not ${asked || configured}`,
    );
  }
  const [only, second] = preferred(all);
  if (only && !second) return only.address;
  if (!only)
    throw new ClusterError(
      'invalid',
      "could not find the system's IP address - specify one with --advertise-addr",
    );
  throw new ClusterError(
    'invalid',
    `could not choose an IP address to advertise since this system has multiple addresses on different interfaces (${only.address} on ${only.link} and ${second?.address} on ${second?.link}) - specify one with --advertise-addr`,
  );
}

/** No address, and those of one link alone. */
const MEANS_NOTHING_ELSEWHERE = /^(?:0\.0\.0\.0|::|fe[89ab].:.*)$/;

/** Why a host advertises the address that it does. */
export interface AddressChoice {
  /** By whoever made or joined the cluster; empty: nothing. */
  readonly asked: string;
  /** What the agent was configured with then, or when it last decided. */
  readonly configured: string;
}

/**
 * The address to advertise after a restart. A new configuration is an order. Otherwise an address that was named stays,
 * also when no link has it (behind NAT), and one that was found on a link follows the link.
 * @throws ClusterError invalid when it cannot be decided
 */
export function addressAgain(
  current: string,
  { asked, configured: before }: AddressChoice,
  configured: string,
  addresses = hostAddresses(),
): string {
  if (configured !== '' && configured !== before) return advertiseAddress('', configured);
  const wish = withoutPort(asked || before);
  if (canonicalAddress(wish) !== undefined) return current;
  // Of the family that the others reach it by.
  const candidates = addresses.filter(
    ({ link, address }) =>
      (wish === '' || link === wish) && address.includes(':') === current.includes(':'),
  );
  if (candidates.some(({ address }) => address === current)) return current;
  const [only, second] = candidates;
  if (only && !second) return only.address;
  const found = only
    ? `several are there instead, ${only.address} among them`
    : 'no other is there';
  throw new ClusterError(
    'invalid',
    `this host has lost its address ${current}, and ${found} - start the agent with --advertise-address`,
  );
}

/**
 * Where the manager listens: on the port, or the fallback, of all addresses; those of IPv6 among them when one is asked for.
 * @throws ClusterError invalid
 */
export function listenOn(
  asked: string | undefined,
  fallback: number,
): { readonly listenPort: number; readonly listensOnIpv6?: true } {
  const { host, port } = splitHostPort(asked || `0.0.0.0:${fallback}`, fallback);
  if (port === 0) throw new ClusterError('invalid', `invalid port in address ${asked}`);
  return { listenPort: port, ...(host.includes(':') && { listensOnIpv6: true }) };
}

/**
 * Managers to join through, as host:port.
 * @throws ClusterError invalid
 */
export function remoteAddresses(asked: readonly string[] | null | undefined): readonly string[] {
  const given = (asked ?? []).filter((address) => address !== '');
  if (given.length === 0)
    throw new ClusterError('invalid', 'at least 1 RemoteAddr is required to join');
  return given.map((address) => joinHostPort(splitHostPort(address, PORT_DEFAULT)));
}

/** A bare IPv6 address has none. */
function withoutPort(address: string): string {
  return address === '' ? '' : splitHostPort(address, PORT_DEFAULT).host;
}

export interface LinkAddress {
  readonly link: string;
  readonly address: string;
}

/** Addresses of real links; our own bridges do not count, nor do addresses that mean something on one link alone. */
function hostAddresses(): readonly LinkAddress[] {
  return Object.entries(networkInterfaces())
    .filter(([link]) => !/^(lo|mu|docker|veth|br-)/.test(link))
    .flatMap(([link, addresses]) =>
      (addresses ?? [])
        .filter((entry) => !entry.internal && !MEANS_NOTHING_ELSEWHERE.test(entry.address))
        .map(({ address }) => ({ link, address })),
    );
}

/** Those of IPv4 where there are any: of IPv6 alone, hosts are reached at IPv6 addresses. */
function preferred(addresses: readonly LinkAddress[]): readonly LinkAddress[] {
  const ipv4 = addresses.filter(({ address }) => !address.includes(':'));
  return ipv4.length > 0 ? ipv4 : addresses;
}
