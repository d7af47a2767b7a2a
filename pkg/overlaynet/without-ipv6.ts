import type { NetworkEndpoint, NetworkTable } from '../model/index.ts';
import { IPV4 } from './family.ts';

/** Endpoints that did not change stay the same objects, by which changes are found. */
const halves = new WeakMap<NetworkEndpoint, NetworkEndpoint>();

/** What a table of both families says to a host whose kernel has IPv4 alone. */
export function withoutIpv6(table: NetworkTable): NetworkTable {
  return {
    ...table,
    subnets: table.subnets.filter(({ subnet }) => IPV4.has(subnet)),
    endpoints: table.endpoints.map(ipv4Half),
  };
}

function ipv4Half(endpoint: NetworkEndpoint): NetworkEndpoint {
  const known = halves.get(endpoint);
  if (known) return known;
  const half = { ...endpoint, addresses: endpoint.addresses.filter(IPV4.has) };
  halves.set(endpoint, half);
  return half;
}
