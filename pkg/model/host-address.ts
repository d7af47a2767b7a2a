import { ClusterError } from './error.ts';
import { formatIpAddress, parseIpAddress } from './ip-address.ts';

interface HostPort {
  /** Name or address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/**
 * `host:port`; an IPv6 address with a port is in brackets.
 * @param defaultPort where the text may come without one: also `fd00::1` alone then
 * @throws ClusterError invalid
 */
export function splitHostPort(text: string, defaultPort?: number): HostPort {
  const [, bracketed, plain, digits] =
    /^(?:\[([^[\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain ?? (isIpv6(text) ? text : '');
  const port = digits === undefined ? defaultPort : Number(digits);
  const isBracketed = bracketed === undefined || isIpv6(bracketed);
  if (host !== '' && isBracketed && port !== undefined && port < 65_536) return { host, port };
  const expected = 'host:port, and an IPv6 address in brackets: [fd00::1]:2377';
  throw new ClusterError('invalid', `${text} is not an address: expected ${expected}`);
}

/** `host:port`, `[fd00::1]:port`. */
export function joinHostPort({ host, port }: HostPort): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** The one spelling of an address that others compare with; undefined for anything but an address. */
export function canonicalAddress(text: string): string | undefined {
  const address = text.includes('/') ? undefined : parseIpAddress(text);
  return address && formatIpAddress(address);
}

function isIpv6(text: string): boolean {
  return canonicalAddress(text)?.includes(':') === true;
}
