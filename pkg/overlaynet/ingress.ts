import {
  CT_STATUS_DNAT,
  encodeIpv4,
  type MarkRule,
  parseCidr,
  type RuleExpression,
  type SetElement,
} from 'vxlan-netlink';
import { must, type NetworkService, type NetworkTable } from '../model/index.ts';
import { backendsByService, stickySlots } from './backends.ts';
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
  translateTo,
} from './expression.ts';
import type { Route } from './kernel/kernel.ts';
import { INGRESS_LINK, TABLE_PREFIX } from './name.ts';
import type { Chain, Ruleset } from './ruleset.ts';

const PRIORITY_DNAT = -100;
const PRIORITY_SNAT = 100;
const PRIORITY_MARK = -150;
/** Our connection marks: this byte and 24 bits of the entry node's mesh address. */
const MARK_BASE = 0x4d000000;
const MARK_MASK = 0xff000000;
export const MARK_RULE_PRIORITY = 100;

export interface IngressOptions {
  readonly mode: 'preserve' | 'masquerade';
  /** Subnets of this host's own bridges: their addresses mean nothing on other hosts. */
  readonly localSubnets: readonly string[];
  /** This host: services may want its own backends first. */
  readonly nodeId: string;
}

/**
 * The entry side of the routing mesh, in the host's namespace: every published port of every service goes to the
 * service's backends on all nodes. Nothing else is opened.
 */
export function ingressHostRuleset(table: NetworkTable, options: IngressOptions): Ruleset {
  const elements: SetElement[] = [];
  const chains: Chain[] = [];
  const masked: SetElement[] = [];
  for (const { service, slots } of meshBackends(table, options.nodeId)) {
    if (service.mesh?.masquerade) {
      masked.push(...[...new Set(slots)].map((address) => ({ key: encodeIpv4(address) })));
    }
    for (const port of service.ports) {
      if (port.publishMode !== 'ingress' || port.publishedPort === 0) continue;
      const name = `${port.protocol}-${port.publishedPort}`;
      const byClient = service.affinity === 'client';
      const way = balance(slots, { port: port.targetPort, byClient });
      chains.push({
        name,
        rules: matchPlaces(service.mesh?.listenOn).map((at) => [...at, ...way]),
      });
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
    table: `${TABLE_PREFIX}ingress`,
    sets: [
      { name: 'ports', shape: { key: ['protocol', 'port'], value: 'verdict' }, elements },
      { name: 'masked', shape: { key: ['ipv4'] }, elements: masked },
    ],
    chains: [hook('prerouting'), hook('output'), postrouting(options), FORWARD, ...chains],
  };
}

/** Services of the mesh with the slots that this host chooses from; those without any are left out. */
function meshBackends(
  table: NetworkTable,
  nodeId: string,
): readonly { readonly service: NetworkService; readonly slots: readonly string[] }[] {
  const everywhere = backendsByService(table);
  const endpoints = table.endpoints.filter((endpoint) => endpoint.nodeId === nodeId);
  const here = backendsByService({ ...table, endpoints });
  return table.services.flatMap((service) => {
    const own = service.mesh?.preferLocal ? here.get(service.serviceId) : undefined;
    const slots = own?.length ? own : (everywhere.get(service.serviceId) ?? []);
    if (slots.length === 0) return [];
    return [{ service, slots: service.affinity === 'client' ? stickySlots(slots) : slots }];
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
      : ['127.0.0.0/8', ...options.localSubnets].map((subnet) => [
          ...leaves,
          ...matchSource(subnet),
          masquerade,
        ]);
  const masked: readonly RuleExpression[] = [
    ...leaves,
    loadDestination(),
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
export function ingressReturnRuleset(table: NetworkTable): Ruleset {
  const elements = table.gateways.map(({ address }) =>
    macElement(macOf(address), hostOrder(markOf(address))),
  );
  return {
    table: `${TABLE_PREFIX}return`,
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

/**
 * A UDP server bound to all addresses answers from the address of its default route, which is not the one the mesh
 * asked. So marked datagrams are delivered to that address in the first place, and connection tracking turns the
 * answer's source back.
 * @param address the container's own address towards its default gateway; nothing without one
 */
export function datagramReplyRuleset(address: string | undefined): Ruleset {
  const rules =
    address === undefined
      ? []
      : [[...matchCtMark(MARK_MASK, MARK_BASE), ...matchProtocol('udp'), ...translateTo(address)]];
  return {
    table: `${TABLE_PREFIX}datagram`,
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

/** Policy routes that belong to `ingressReturnRuleset`: per entry node one rule and one table. */
export function ingressReturnRoutes(
  table: NetworkTable,
  link: string,
): { readonly rules: readonly MarkRule[]; readonly routes: readonly Route[] } {
  const marks = table.gateways.map(({ address }) => ({ address, mark: markOf(address) }));
  return {
    rules: marks.map(({ mark }) => ({
      mark,
      mask: 0xffffffff,
      table: mark,
      priority: MARK_RULE_PRIORITY,
    })),
    routes: marks.map(({ address, mark }) => ({
      destination: 'default',
      link,
      gateway: address,
      table: mark,
      onLink: false,
    })),
  };
}

/** Address of this node in the mesh, with prefix length; undefined while the allocator has not given one. */
export function gatewayAddress(table: NetworkTable, nodeId: string): string | undefined {
  const own = table.gateways.find((gateway) => gateway.nodeId === nodeId);
  if (own === undefined) return undefined;
  return withPrefixOf(table, own.address);
}

/** The address with the prefix length of the network's subnet that holds it. */
export function withPrefixOf(table: NetworkTable, address: string): string {
  const number = encodeIpv4(address).readUInt32BE(0);
  const subnet = table.subnets.find(({ subnet: text }) => {
    const { address: base, prefixLength } = parseCidr(text);
    const size = 2 ** (32 - prefixLength);
    const start = Math.floor(encodeIpv4(base).readUInt32BE(0) / size) * size;
    return number >= start && number < start + size;
  });
  const { prefixLength } = parseCidr(
    must(subnet, `a subnet of ${table.name} with ${address}`).subnet,
  );
  return `${address}/${prefixLength}`;
}

function markOf(address: string): number {
  return MARK_BASE + (encodeIpv4(address).readUInt32BE(0) & 0xffffff);
}
