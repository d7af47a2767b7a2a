import { encodeAddress, type RuleExpression, type SetElement } from 'vxlan-netlink';
import type { NetworkService, NetworkTable } from '../model/index.ts';
import { type Backends, stickySlots } from './backends.ts';
import {
  hostOrder,
  loadDestination,
  loadSource,
  matchNewConnection,
  matchProtocol,
} from './expression.ts';
import { type Family, keysOf } from './family.ts';
import { tableName } from './name.ts';
import { type Chain, diffRulesets, type Ruleset } from './ruleset.ts';

const PRIORITY_DNAT = -100;
/**
 * Services with the same number of slots share this many round-robin counters: two of them that a client asks in turn
 * would otherwise always get the same slots.
 */
const COUNTERS = 64;

/**
 * What every container on a network holds to reach the network's services: a map from VIP and slot to backend, and a
 * verdict map from VIP to a chain that picks the slot. Chains are shared by services with as many slots: one chain and
 * one unnamed map for each service make the kernel's work quadratic. Established connections are not looked at again,
 * so they drain. A VIP without a backend refuses at once.
 *
 * The work of an update grows with the services that changed. A ruleset's content is that of the newest update,
 * whichever update it came from; `token` and `step` tell them apart.
 */
export class VirtualIps {
  readonly #table: string;
  readonly #family: Family;
  readonly #parts = new Map<string, ServicePart>();
  readonly #chains = new Map<string, { readonly chain: Chain; users: number }>();
  #services: NetworkTable['services'] = [];
  #ruleset: Ruleset;

  /** @param family of the VIPs and backends that this is about; others are passed over */
  constructor(table: NetworkTable, backends: Backends, family: Family) {
    this.#table = family.tableOf(tableName(table.networkId));
    this.#family = family;
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
      const slots = backends.get(service.serviceId) ?? NOBODY;
      const known = this.#parts.get(service.serviceId);
      if (known && isFor(known, service, slots)) continue;
      const part = servicePart(service, slots, this.#family);
      this.#parts.set(service.serviceId, part);
      if (known) old.push(known);
      fresh.push(part);
    }
    if (this.#parts.size > services.length) old.push(...this.#drop(services));
    this.#services = services;
    if (old.length + fresh.length === 0) return;
    const added = this.#use(fresh);
    const removed = this.#release(old);
    const commands = diffRulesets(
      { table: this.#table, sets: setsOf(old, this.#family), chains: removed },
      { table: this.#table, sets: setsOf(fresh, this.#family), chains: added },
    );
    this.#ruleset = this.#newRuleset({ from: this.#ruleset.token, commands });
  }

  #drop(services: NetworkTable['services']): readonly ServicePart[] {
    const kept = new Set<string>(services.map(({ serviceId }) => serviceId));
    const gone = [...this.#parts].filter(([id]) => !kept.has(id));
    for (const [id] of gone) this.#parts.delete(id);
    return gone.map(([, part]) => part);
  }

  /** Returns the chains that nobody used before. */
  #use(parts: readonly ServicePart[]): readonly Chain[] {
    const added: Chain[] = [];
    for (const chain of parts.flatMap((part) => part.chain ?? [])) {
      const known = this.#chains.get(chain.name);
      if (known) known.users++;
      else {
        this.#chains.set(chain.name, { chain, users: 1 });
        added.push(chain);
      }
    }
    return added;
  }

  /** Returns the chains that nobody uses any more. */
  #release(parts: readonly ServicePart[]): readonly Chain[] {
    const removed: Chain[] = [];
    for (const { name } of parts.flatMap((part) => part.chain ?? [])) {
      const known = this.#chains.get(name);
      if (!known) continue;
      known.users--;
      if (known.users > 0) continue;
      this.#chains.delete(name);
      removed.push(known.chain);
    }
    return removed;
  }

  #newRuleset(step: Ruleset['step']): Ruleset {
    const sets = (): Ruleset['sets'] => setsOf([...this.#parts.values()], this.#family);
    const base = [outputChain(this.#family), NOBODY_SERVES];
    const chains = (): Ruleset['chains'] => [...this.#chains.values()].map(({ chain }) => chain);
    return {
      table: this.#table,
      token: {},
      step,
      get sets(): Ruleset['sets'] {
        return sets();
      },
      get chains(): Ruleset['chains'] {
        return [...base, ...chains()];
      },
    };
  }
}

/** The rules of one service. */
interface ServicePart {
  readonly service: NetworkService;
  readonly backends: readonly string[];
  readonly vips: readonly SetElement[];
  readonly slots: readonly SetElement[];
  readonly chain: Chain | undefined;
}

const NOBODY: readonly string[] = [];

function isFor(part: ServicePart, service: NetworkService, backends: readonly string[]): boolean {
  if (part.backends !== backends && !isSameList(part.backends, backends)) return false;
  const known = part.service;
  if (known === service) return true;
  return known.affinity === service.affinity && isSameList(known.vips, service.vips);
}

export function isSameList(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((item, at) => item === right[at]);
}

function servicePart(
  service: NetworkService,
  backends: readonly string[],
  family: Family,
): ServicePart {
  const keys = keysOf(family, service.vips);
  const [first] = keys;
  const own = backends.filter(family.has);
  const base = { service, backends, vips: [], slots: [], chain: undefined };
  if (first === undefined) return base;
  const leadTo = (chain: Chain): readonly SetElement[] =>
    keys.map((key) => ({ key, verdict: { verdict: 'goto', chain: chain.name } }));
  if (own.length === 0) return { ...base, vips: leadTo(NOBODY_SERVES) };
  const addresses = service.affinity === 'client' ? stickySlots(own) : own;
  const chain =
    service.affinity === 'client'
      ? stickyChain(addresses.length, family)
      : turnChain(addresses.length, first, family);
  return {
    ...base,
    chain,
    vips: leadTo(chain),
    slots: keys.flatMap((key) =>
      addresses.map((address, slot) => ({
        key: Buffer.concat([key, hostOrder(slot)]),
        value: encodeAddress(address),
      })),
    ),
  };
}

/** Each new connection gets the next slot. */
function turnChain(slots: number, vip: Buffer, family: Family): Chain {
  const counter = vip.readUInt32BE(vip.length - 4) % COUNTERS;
  const target = slotRegister(family);
  return {
    name: `turn-${slots}-${counter}`,
    rules: [
      [
        loadDestination(family),
        { kind: 'numgen', mode: 'increment', modulus: slots, target },
        ...TRANSLATE_SLOT,
      ],
    ],
  };
}

/** All connections from one address get the same slot. */
function stickyChain(slots: number, family: Family): Chain {
  const { length } = family;
  const target = slotRegister(family);
  const hash = { kind: 'jhash', source: 3, length, modulus: slots, seed: 0, target } as const;
  return {
    name: `client-${slots}`,
    rules: [[loadSource(3, family), hash, loadDestination(family), ...TRANSLATE_SLOT]],
  };
}

/** Directly behind the VIP, which is in register 1: number 8 is the first quarter of that. */
function slotRegister({ length }: Family): number {
  return 8 + length / 4;
}

const TRANSLATE_SLOT: readonly RuleExpression[] = [
  { kind: 'lookup', set: 'slots', source: 1, target: 1 },
  { kind: 'dnat', address: 1 },
];

function setsOf(parts: readonly ServicePart[], { keyType }: Family): Ruleset['sets'] {
  return [
    {
      name: 'vips',
      shape: { key: [keyType], value: 'verdict' },
      elements: parts.flatMap((part) => part.vips),
    },
    {
      name: 'slots',
      shape: { key: [keyType, 'mark'], value: [keyType] },
      elements: parts.flatMap((part) => part.slots),
    },
  ];
}

function outputChain(family: Family): Chain {
  return {
    name: 'output',
    hook: { type: 'nat', hook: 'output', priority: PRIORITY_DNAT },
    rules: [[loadDestination(family), { kind: 'lookup', set: 'vips', source: 1, target: 0 }]],
  };
}

/**
 * Where the VIP of a service without backends leads. Within the NAT hook, which sees only the first packet of a
 * connection: a filter would look at every packet of all. That the connection is new goes without saying, but a rule that
 * asks is what makes the kernel track connections of the family at all, without which the hook sees none.
 */
const NOBODY_SERVES: Chain = {
  name: 'nobody',
  rules: [
    [...matchNewConnection, ...matchProtocol('tcp'), { kind: 'reject', reply: 'tcp-reset' }],
    [{ kind: 'reject', reply: 'port-unreachable' }],
  ],
};
