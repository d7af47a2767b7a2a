import type { SetElement } from 'vxlan-netlink';
import { encodeIpv4 } from 'vxlan-netlink';
import { compareText, type NetworkEndpoint, type NetworkTable } from '../model/index.ts';
import { balance, loadDestination, matchNewConnection, matchProtocol } from './expression.ts';
import { tableName } from './name.ts';
import type { Chain, Ruleset } from './ruleset.ts';

const PRIORITY_DNAT = -100;
/** Before DNAT, after connection tracking: still sees the VIP, already knows whether the connection is new. */
const PRIORITY_REFUSE = -150;

/**
 * What every container on a network holds to reach the network's services: a verdict map from VIP to a chain per
 * service that gives each new connection the next backend. Established connections are not looked at again, so they
 * drain. A VIP without a backend refuses at once.
 */
export function virtualIpRuleset(table: NetworkTable): Ruleset {
  const backends = backendsByService(table);
  const vips: SetElement[] = [];
  const refused: SetElement[] = [];
  const chains: Chain[] = [];
  for (const service of table.services) {
    const addresses = backends.get(service.serviceId) ?? [];
    const chain = `service-${service.serviceId}`;
    for (const vip of service.vips) {
      const key = encodeIpv4(vip);
      if (addresses.length === 0) refused.push({ key });
      else vips.push({ key, verdict: { verdict: 'goto', chain } });
    }
    if (addresses.length > 0 && service.vips.length > 0) {
      chains.push({ name: chain, rules: [balance(addresses)] });
    }
  }
  return {
    table: tableName(table.networkId),
    sets: [
      { name: 'vips', shape: { key: ['ipv4'], value: 'verdict' }, elements: vips },
      { name: 'refused', shape: { key: ['ipv4'] }, elements: refused },
    ],
    chains: [OUTPUT, REFUSE, ...chains],
  };
}

/** Addresses of the endpoints in service, in byte order: the same slots on every host. */
export function backendsByService(table: NetworkTable): ReadonlyMap<string, readonly string[]> {
  const backends = new Map<string, string[]>();
  for (const endpoint of table.endpoints) {
    if (!inService(endpoint)) continue;
    const list = backends.get(endpoint.serviceId) ?? [];
    list.push(...endpoint.addresses);
    backends.set(endpoint.serviceId, list);
  }
  for (const list of backends.values()) list.sort(compareText);
  return backends;
}

export function inService(endpoint: NetworkEndpoint): boolean {
  return endpoint.state === 'in-service';
}

const OUTPUT: Chain = {
  name: 'output',
  hook: { type: 'nat', hook: 'output', priority: PRIORITY_DNAT },
  rules: [[loadDestination, { kind: 'lookup', set: 'vips', source: 1, target: 0 }]],
};

const REFUSE: Chain = {
  name: 'refuse',
  hook: { type: 'filter', hook: 'output', priority: PRIORITY_REFUSE },
  rules: [
    [
      loadDestination,
      { kind: 'lookup', set: 'refused', source: 1 },
      ...matchNewConnection,
      ...matchProtocol('tcp'),
      { kind: 'reject', reply: 'tcp-reset' },
    ],
    [
      loadDestination,
      { kind: 'lookup', set: 'refused', source: 1 },
      ...matchNewConnection,
      { kind: 'reject', reply: 'port-unreachable' },
    ],
  ],
};
