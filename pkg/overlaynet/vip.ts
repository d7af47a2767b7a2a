import type { SetElement } from 'vxlan-netlink';
import { encodeIpv4 } from 'vxlan-netlink';
import {
  compareText,
  type NetworkEndpoint,
  type NetworkService,
  type NetworkTable,
} from '../model/index.ts';
import { balance, loadDestination, matchNewConnection, matchProtocol } from './expression.ts';
import { tableName } from './name.ts';
import { type Chain, diffRulesets, type Ruleset } from './ruleset.ts';

const PRIORITY_DNAT = -100;
/** Before DNAT, after connection tracking: still sees the VIP, already knows whether the connection is new. */
const PRIORITY_REFUSE = -150;

/**
 * What every container on a network holds to reach the network's services: a verdict map from VIP to a chain per
 * service that gives each new connection the next backend. Established connections are not looked at again, so they
 * drain. A VIP without a backend refuses at once.
 *
 * The work of an update grows with the services that changed. A ruleset's content is that of the newest update,
 * whichever update it came from; `token` and `step` tell them apart.
 */
export class VirtualIps {
  readonly #table: string;
  readonly #parts = new Map<string, ServicePart>();
  #services: NetworkTable['services'] = [];
  #ruleset: Ruleset;

  constructor(table: NetworkTable, backends: Backends) {
    this.#table = tableName(table.networkId);
    this.#ruleset = this.#newRuleset(undefined);
    this.update(table.services, backends, new Set());
  }

  get ruleset(): Ruleset {
    return this.#ruleset;
  }

  /** `touched`: services whose backends may have changed; others are only looked at when `services` is another list. */
  update(
    services: NetworkTable['services'],
    backends: Backends,
    touched: ReadonlySet<string>,
  ): void {
    const [old, fresh] = [[] as ServicePart[], [] as ServicePart[]];
    const candidates =
      services === this.#services
        ? [...touched].flatMap((id) => this.#parts.get(id)?.service ?? [])
        : services;
    for (const service of candidates) {
      const addresses = backends.get(service.serviceId) ?? NOBODY;
      const known = this.#parts.get(service.serviceId);
      if (known && isFor(known, service, addresses)) continue;
      const part = servicePart(service, addresses);
      this.#parts.set(service.serviceId, part);
      if (known) old.push(known);
      fresh.push(part);
    }
    if (this.#parts.size > services.length) old.push(...this.#drop(services));
    this.#services = services;
    if (old.length + fresh.length === 0) return;
    const commands = diffRulesets(
      { table: this.#table, ...contentOf(old) },
      { table: this.#table, ...contentOf(fresh) },
    );
    this.#ruleset = this.#newRuleset({ from: this.#ruleset.token, commands });
  }

  #drop(services: NetworkTable['services']): readonly ServicePart[] {
    const kept = new Set<string>(services.map(({ serviceId }) => serviceId));
    const gone = [...this.#parts].filter(([id]) => !kept.has(id));
    for (const [id] of gone) this.#parts.delete(id);
    return gone.map(([, part]) => part);
  }

  #newRuleset(step: Ruleset['step']): Ruleset {
    const content = (): Pick<Ruleset, 'sets' | 'chains'> => contentOf([...this.#parts.values()]);
    return {
      table: this.#table,
      token: {},
      step,
      get sets(): Ruleset['sets'] {
        return content().sets;
      },
      get chains(): Ruleset['chains'] {
        return [OUTPUT, REFUSE, ...content().chains];
      },
    };
  }
}

type Backends = ReadonlyMap<string, readonly string[]>;

/** The rules of one service. */
interface ServicePart {
  readonly service: NetworkService;
  readonly addresses: readonly string[];
  readonly vips: readonly SetElement[];
  readonly refused: readonly SetElement[];
  readonly chains: readonly Chain[];
}

const NOBODY: readonly string[] = [];

function isFor(part: ServicePart, service: NetworkService, addresses: readonly string[]): boolean {
  const sameAddresses = part.addresses === addresses || isSameList(part.addresses, addresses);
  return sameAddresses && (part.service === service || isSameList(part.service.vips, service.vips));
}

export function isSameList(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((item, at) => item === right[at]);
}

function servicePart(service: NetworkService, addresses: readonly string[]): ServicePart {
  const chain = `service-${service.serviceId}`;
  const keys = service.vips.map((vip) => encodeIpv4(vip));
  const base = { service, addresses };
  if (addresses.length === 0) {
    return { ...base, vips: [], refused: keys.map((key) => ({ key })), chains: [] };
  }
  const vips = keys.map((key): SetElement => ({ key, verdict: { verdict: 'goto', chain } }));
  const chains = keys.length > 0 ? [{ name: chain, rules: [balance(addresses)] }] : [];
  return { ...base, vips, refused: [], chains };
}

function contentOf(parts: readonly ServicePart[]): Pick<Ruleset, 'sets' | 'chains'> {
  const vips = parts.flatMap((part) => part.vips);
  const refused = parts.flatMap((part) => part.refused);
  return {
    sets: [
      { name: 'vips', shape: { key: ['ipv4'], value: 'verdict' }, elements: vips },
      { name: 'refused', shape: { key: ['ipv4'] }, elements: refused },
    ],
    chains: parts.flatMap((part) => part.chains),
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
