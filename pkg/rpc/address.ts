import { ClusterError } from '../model/index.ts';

/** `host:port`, with an IPv6 host in brackets. @throws ClusterError invalid */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, Math.max(at, 0)).replace(/^\[(.*)\]$/, '$1');
  const port = Number(address.slice(at + 1));
  if (host !== '' && Number.isInteger(port) && port >= 0 && port < 65_536) return { host, port };
  throw new ClusterError('invalid', `${address} is not an address: expected host:port`);
}
