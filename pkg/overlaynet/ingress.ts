import {
  CT_STATUS_DNAT,
  encodeAddress,
  encodeIpv4,
  isIpv6,
  type MarkRule,
  parseCidr,
  type RuleExpression,
  type SetElement,
} from 'vxlan-netlink';
import {
  formatIpAddress,
  ipBlockSize,
  must,
  type NetworkService,
  type NetworkTable,
  parseIpBlock,
} from '../model/index.ts';
import { contains } from './address-pool.ts';
import { backendsByService, beganAt, stickySlots } from './backends.ts';
import {
  balance,
  clampSegments,
  dispatchOnPort,
  hostOrder,
  loadDestination,
  macElement,
  macOf,
  matchCtBits,
  matchCtMark,
  matchLink,
  matchLocalDestination,
  matchNewConnection,
  matchPlaces,
  matchProtocol,
  matchSource,
  portElement,
  slotElement,
  translateTo,
} from './expression.ts';
import { type Family, familiesOf } from './family.ts';
import type { Route } from './kernel/kernel.ts';
import { INGRESS_LINK, INGRESS_TABLE, TABLE_PREFIX } from './name.ts';
import type { Chain, Ruleset } from './ruleset.ts';

const PRIORITY_DNAT = -100;
const PRIORITY_SNAT = 100;
const PRIORITY_MARK = -150;
/** Our connection marks: this byte and 24 bits of the entry node's mesh address. */
const MARK_BASE = 0x4d000000;
const MARK_MASK = 0xff000000;
const ALL_BITS = 0xffffffff;
/** `lookup`: one rule for each entry node. What has no mark of ours is spared them: it goes on at `after`. */
export const RULE_PRIORITIES = { spare: 99, lookup: 100, after: 101 } as const;
/** An IPv6 subnet must leave so many bits to hosts, for the gateways to be apart from what the allocator gives. */
const HOST_BITS_MIN = 40n;

export interface IngressOptions {
  readonly mode: 'preserve' | 'masquerade';
  /** Subnets of this host's own bridges, of the family: their addresses mean nothing on other hosts. */
  readonly localSubnets: readonly string[];
  /** This host: services may want its own backends first. */
  readonly nodeId: string;
  readonly family: Family;
}

/**
 * The entry side of the routing mesh, in the host's namespace: every published port of every service goes to the
 * service's backends on all nodes. Nothing else is opened.
 */
export function ingressHostRuleset(table: NetworkTable, options: IngressOptions): Ruleset {
  const elements: SetElement[] = [];
  const chains: Chain[] = [];
  const masked: SetElement[] = [];
  const chosen: SetElement[] = [];
  const { family, nodeId } = options;
  for (const { service, slots } of meshBackends(table, nodeId, family)) {
    if (service.mesh?.masquerade) {
      masked.push(...[...new Set(slots)].map((address) => ({ key: encodeAddress(address) })));
    }
    for (const port of service.ports) {
      if (port.publishMode !== 'ingress' || port.publishedPort === 0) continue;
      const name = `${port.protocol}-${port.publishedPort}`;
      const at = { protocol: port.protocol, port: port.publishedPort };
      const byClient = service.affinity === 'client';
      const way = { set: 'slots', family, port: port.targetPort, byClient };
      const places = matchPlaces(service.mesh?.listenOn, family);
      chains.push({ name, rules: leadOrDrop(places, balance(slots.length, way)) });
      chosen.push(...slots.map((address, slot) => slotElement(at, slot, address)));
      elements.push(portElement(port.protocol, port.publishedPort, name));
    }
  }
  const enter: RuleExpression[] = [...matchLocalDestination, ...dispatchOnPort('ports')];
  const hook = (name: 'prerouting' | 'output'): Chain => ({
    name,
    hook: { type: 'nat', hook: name, priority: PRIORITY_DNAT },
    rules: [enter],
  });
  return {
    table: family.tableOf(INGRESS_TABLE),
    sets: [
      { name: 'ports', shape: { key: ['protocol', 'port'], value: 'verdict' }, elements },
      {
        name: 'slots',
        shape: { key: ['protocol', 'port', 'mark'], value: [family.keyType] },
        elements: chosen,
      },
      { name: 'masked', shape: { key: [family.keyType] }, elements: masked },
    ],
    chains: [hook('prerouting'), hook('output'), postrouting(options), FORWARD, ...chains],
  };
}

/**
 * A packet that a change of the backends overtakes may choose a slot that is gone: it chooses once more, and is dropped
 * rather than given to the host itself, which would refuse it (see `outputChain`). The client sends it again.
 */
function leadOrDrop(
  places: readonly (readonly RuleExpression[])[],
  way: readonly RuleExpression[],
): Chain['rules'] {
  const drop: RuleExpression = { kind: 'verdict', verdict: { verdict: 'drop' } };
  return places.flatMap((at) => [
    [...at, ...way],
    [...at, ...way],
    [...at, drop],
  ]);
}

/** Services of the mesh with the slots that this host chooses from; those without any are left out. */
function meshBackends(
  table: NetworkTable,
  nodeId: string,
  family: Family,
): readonly { readonly service: NetworkService; readonly slots: readonly string[] }[] {
  const everywhere = backendsByService(table);
  const endpoints = table.endpoints.filter((endpoint) => endpoint.nodeId === nodeId);
  const here = backendsByService({ ...table, endpoints });
  return table.services.flatMap((service) => {
    const own = service.mesh?.preferLocal ? here.get(service.serviceId) : undefined;
    const all = own?.length ? own : (everywhere.get(service.serviceId) ?? []);
    const slots = all.filter(family.has);
    if (slots.length === 0) return [];
    // Clients of a service meet hosts in turn as well: each host begins its round with another backend.
    const byTurns = (): readonly string[] => beganAt(slots, `${nodeId} ${service.serviceId}`);
    return [{ service, slots: service.affinity === 'client' ? stickySlots(slots) : byTurns() }];
  });
}

/** The network behind the mesh is no place to route to: only translated connections pass, in either direction. */
const FORWARD: Chain = {
  name: 'forward',
  hook: { type: 'filter', hook: 'forward', priority: 0 },
  rules: [
    [...matchLink('oifname', 'eq', INGRESS_LINK), ...clampSegments],
    [...matchLink('iifname', 'eq', INGRESS_LINK), ...clampSegments],
    [...matchCtBits('status', CT_STATUS_DNAT), { kind: 'verdict', verdict: { verdict: 'accept' } }],
    [
      ...matchLink('oifname', 'eq', INGRESS_LINK),
      { kind: 'verdict', verdict: { verdict: 'drop' } },
    ],
    [
      ...matchLink('iifname', 'eq', INGRESS_LINK),
      { kind: 'verdict', verdict: { verdict: 'drop' } },
    ],
  ],
};

function postrouting(options: IngressOptions): Chain {
  const leaves = matchLink('oifname', 'eq', INGRESS_LINK);
  const masquerade: RuleExpression = { kind: 'masquerade' };
  const rules =
    options.mode === 'masquerade'
      ? [[...leaves, ...matchCtBits('status', CT_STATUS_DNAT), masquerade]]
      : [options.family.loopback, ...options.localSubnets].map((subnet) => [
          ...leaves,
          ...matchSource(subnet, options.family),
          masquerade,
        ]);
  const masked: readonly RuleExpression[] = [
    ...leaves,
    loadDestination(options.family),
    { kind: 'lookup', set: 'masked', source: 1 },
    masquerade,
  ];
  return {
    name: 'postrouting',
    hook: { type: 'nat', hook: 'postrouting', priority: PRIORITY_SNAT },
    rules: [...rules, masked],
  };
}

/**
 * The backend's side, in the container's namespace: a connection that came in by the mesh is marked with the node it
 * entered at, told by the frame's source MAC, and its answers are routed back there. So the backend sees the client's
 * own address on any node.
 */
export function ingressReturnRuleset(table: NetworkTable, family: Family): Ruleset {
  const elements = table.gateways.map(({ address }) =>
    macElement(macOf(address), hostOrder(markOf(address))),
  );
  return {
    table: family.tableOf(`${TABLE_PREFIX}return`),
    sets: [{ name: 'entries', shape: { key: ['mac'], value: ['mark'] }, elements }],
    chains: [
      {
        name: 'mark',
        hook: { type: 'filter', hook: 'prerouting', priority: PRIORITY_MARK },
        rules: [
          [
            ...matchNewConnection,
            { kind: 'payload', base: 'link', offset: 6, length: 6, target: 1 },
            { kind: 'lookup', set: 'entries', source: 1, target: 1 },
            { kind: 'ct-set', key: 'mark', source: 1 },
          ],
        ],
      },
      {
        name: 'restore',
        hook: { type: 'route', hook: 'output', priority: PRIORITY_MARK },
        rules: [
          [
            ...matchCtMark(MARK_MASK, MARK_BASE),
            { kind: 'ct', key: 'mark', target: 1 },
            { kind: 'meta-set', key: 'mark', source: 1 },
          ],
        ],
      },
    ],
  };
}

/** Those of each family of the network. */
export function ingressReturnRulesets(table: NetworkTable): readonly Ruleset[] {
  return familiesOf(table).map((family) => ingressReturnRuleset(table, family));
}

/**
 * A UDP server bound to all addresses answers from the address of its default route, which is not the one the mesh
 * asked. So marked datagrams are delivered to that address in the first place, and connection tracking turns the
 * answer's source back. Entry nodes themselves are answered by the mesh's link as it is.
 * @param address the container's own address of the family towards its default gateway; nothing without one
 */
export function datagramReplyRuleset(
  { subnets }: Pick<NetworkTable, 'subnets'>,
  address: string | undefined,
  family: Family,
): Ruleset {
  const mesh = subnets.filter(({ subnet }) => family.has(subnet));
  const rules =
    address === undefined
      ? []
      : [
          [
            ...matchCtMark(MARK_MASK, MARK_BASE),
            ...matchProtocol('udp'),
            ...mesh.flatMap(({ subnet }) => matchSource(subnet, family, 'neq')),
            ...translateTo(address),
          ],
        ];
  return {
    table: family.tableOf(`${TABLE_PREFIX}datagram`),
    sets: [],
    chains: [
      {
        name: 'prerouting',
        hook: { type: 'nat', hook: 'prerouting', priority: PRIORITY_DNAT },
        rules,
      },
    ],
  };
}

/** Policy routes that belong to `ingressReturnRulesets`: per entry node and family one rule and one table. */
export function ingressReturnRoutes(
  table: NetworkTable,
  link: string,
): { readonly rules: readonly MarkRule[]; readonly routes: readonly Route[] } {
  const marks = table.gateways.flatMap((gateway) =>
    gatewayAddresses(table, gateway.address).map((address) => ({
      address,
      mark: markOf(gateway.address),
    })),
  );
  const lookups = marks.map(({ address, mark }): MarkRule => {
    const family = isIpv6(address) ? 'ipv6' : 'ipv4';
    return { family, mark, mask: ALL_BITS, table: mark, priority: RULE_PRIORITIES.lookup };
  });
  const families = [...new Set(lookups.map(({ family }) => family))];
  return {
    rules: [...lookups, ...families.flatMap(spareOthers)],
    routes: marks.map(({ address, mark }) => ({
      destination: 'default',
      link,
      gateway: address,
      table: mark,
      onLink: false,
    })),
  };
}

/** Two rules around those of the entry nodes; the later has a mark and a table that none of them has. */
function spareOthers(family: MarkRule['family']): readonly MarkRule[] {
  const { spare, after } = RULE_PRIORITIES;
  const [mark, table] = [MARK_BASE, MARK_BASE];
  return [
    { family, mark, mask: ALL_BITS, table, priority: after },
    { family, mark, mask: MARK_MASK, table: 0, priority: spare, others: { goOnAt: after } },
  ];
}

/** Addresses of this node in the mesh, with prefix length; none while the allocator has not given one. */
export function footAddresses(table: NetworkTable, nodeId: string): readonly string[] {
  const own = table.gateways.find((gateway) => gateway.nodeId === nodeId);
  if (own === undefined) return [];
  return gatewayAddresses(table, own.address).map((address) => withPrefixOf(table, address));
}

/**
 * A node's addresses in the mesh, IPv4's first: the one given to it, and in a network of both families one of IPv6 that
 * follows from it, so that none is distributed. The upper half of the subnet is theirs: the allocator begins below.
 */
export function gatewayAddresses(table: NetworkTable, address: string): readonly string[] {
  const subnet = table.subnets.find((one) => isIpv6(one.subnet));
  const block = subnet && parseIpBlock(subnet.subnet);
  if (block === undefined || ipBlockSize(block) < 1n << HOST_BITS_MIN) return [address];
  const upperHalf = block.first + ipBlockSize(block) / 2n;
  const value = upperHalf + BigInt(encodeIpv4(address).readUInt32BE(0));
  return [address, formatIpAddress({ family: block.family, value })];
}

/** The address with the prefix length of the network's subnet that holds it. */
function withPrefixOf(table: NetworkTable, address: string): string {
  const subnet = table.subnets.find(({ subnet: text }) => contains(text, address));
  const { prefixLength } = parseCidr(
    must(subnet, `a subnet of ${table.name} with ${address}`).subnet,
  );
  return `${address}/${prefixLength}`;
}

function markOf(address: string): number {
  return MARK_BASE + (encodeIpv4(address).readUInt32BE(0) & 0xffffff);
}
