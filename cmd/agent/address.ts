import { isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { ClusterError } from '../../pkg/model/index.ts';

/**
 * The address others reach this host at: what was asked for (an address or the name of an interface, a port is
 * dropped), else what the agent was configured with, else the only one there is.
 * @throws ClusterError invalid when it cannot be decided, with Docker's text
 */
export function advertiseAddress(asked: string | undefined, configured: string): string {
  const wish = withoutPort(asked || configured);
  if (wish !== '' && isIPv4(wish)) return wish;
  const addresses = hostAddresses();
  if (wish !== '') {
    const found = addresses.find((entry) => entry.link === wish);
    if (found) return found.address;
    throw new ClusterError(
      'invalid',
      `advertise address must be a non-zero IP address or network interface (with optional port number), not ${wish}`,
    );
  }
  const [only, second] = addresses;
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
  if (isIPv4(wish)) return current;
  const candidates = addresses.filter(({ link }) => wish === '' || link === wish);
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

/** Port of `host:port`, or the fallback. */
export function portOf(address: string | undefined, fallback: number): number {
  const port = Number(/:(\d+)$/.exec(address ?? '')?.[1] ?? fallback);
  if (port >= 1 && port <= 65_535) return port;
  throw new ClusterError('invalid', `invalid port in address ${address}`);
}

function withoutPort(address: string): string {
  return address.replace(/:\d+$/, '');
}

export interface LinkAddress {
  readonly link: string;
  readonly address: string;
}

/** IPv4 addresses of real links; our own bridges do not count. */
function hostAddresses(): readonly LinkAddress[] {
  return Object.entries(networkInterfaces())
    .filter(([link]) => !/^(lo|mu|docker|veth|br-)/.test(link))
    .flatMap(([link, addresses]) =>
      (addresses ?? [])
        .filter((entry) => entry.family === 'IPv4' && !entry.internal)
        .map(({ address }) => ({ link, address })),
    );
}
