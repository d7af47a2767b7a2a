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
/** Clients begin a round in this many places at most: all that keep one connection would else share the first slot. */
const STARTS = 8;
/** Turns of one number of slots: more than that and fewer places are begun in. */
const TURNS_MAX = 4_096;
/** Choices by the client's address have numbers from here on, those in turn below. */
const STICKY = 2 ** 31;

/**
 * What every container on a network holds to reach the network's services: a map from VIP to a number, a verdict map from
 * that number to a chain that picks a slot, and a map from VIP and slot to backend. A round of slots begins where the client's
 * address says (`turns`). Chains are shared by services with as
 * many slots: one chain and one unnamed map for each service make the kernel's work quadratic. Whenever a member of a
 * verdict map changes the kernel follows all of them, hence the number between the many VIPs and the few chains.
 * Established connections are not looked at again, so they drain. A VIP without a backend refuses at once.
 *
 * The work of an update grows with the services that changed. A ruleset's content is that of the newest update,
 * whichever update it came from; `token` and `step` tell them apart.
 */
export class VirtualIps {
  readonly family: Family;
  readonly #table: string;
  readonly #parts = new Map<string, ServicePart>();
  readonly #shared = new Map<string, { readonly part: SharedPart; users: number }>();
  #services: NetworkTable['services'] = [];
  #ruleset: Ruleset;

  /** @param family of the VIPs and backends that this is about; others are passed over */
  constructor(table: NetworkTable, backends: Backends, family: Family) {
    this.#table = family.tableOf(tableName(table.networkId));
    this.family = family;
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
      const part = servicePart(service, slots, this.family);
      this.#parts.set(service.serviceId, part);
      if (known) old.push(known);
      fresh.push(part);
    }
    if (this.#parts.size > services.length) old.push(...this.#drop(services));
    this.#services = services;
    if (old.length + fresh.length === 0) return;
    const added = this.#use(fresh);
    const removed = this.#release(old);
    const nothing = this.#partsOf([], []);
    // What VIPs are to be led by is there before any is: see `outputChain`.
    const transactions = [
      diffRulesets(nothing, this.#partsOf([], added)),
      diffRulesets(this.#partsOf(old, removed), this.#partsOf(fresh, [])),
    ].filter((commands) => commands.length > 0);
    this.#ruleset = this.#newRuleset({ from: this.#ruleset.token, transactions });
  }

  #partsOf(parts: readonly ServicePart[], shared: readonly SharedPart[]): Ruleset {
    return {
      table: this.#table,
      sets: setsOf(parts, shared, this.family),
      chains: chainsOf(shared),
    };
  }

  #drop(services: NetworkTable['services']): readonly ServicePart[] {
    const kept = new Set<string>(services.map(({ serviceId }) => serviceId));
    const gone = [...this.#parts].filter(([id]) => !kept.has(id));
    for (const [id] of gone) this.#parts.delete(id);
    return gone.map(([, part]) => part);
  }

  /** Returns what nobody used before. */
  #use(parts: readonly ServicePart[]): readonly SharedPart[] {
    const added: SharedPart[] = [];
    for (const part of parts.flatMap(({ shared }) => shared)) {
      const known = this.#shared.get(part.name);
      if (known) known.users++;
      else {
        this.#shared.set(part.name, { part, users: 1 });
        added.push(part);
      }
    }
    return added;
  }

  /** Returns what nobody uses any more. */
  #release(parts: readonly ServicePart[]): readonly SharedPart[] {
    const removed: SharedPart[] = [];
    for (const { name } of parts.flatMap(({ shared }) => shared)) {
      const known = this.#shared.get(name);
      if (!known) continue;
      known.users--;
      if (known.users > 0) continue;
      this.#shared.delete(name);
      removed.push(known.part);
    }
    return removed;
  }

  #newRuleset(step: Ruleset['step']): Ruleset {
    const shared = (): readonly SharedPart[] => [
      NOBODY_SERVES,
      ...[...this.#shared.values()].map(({ part }) => part),
    ];
    const sets = (): Ruleset['sets'] => setsOf([...this.#parts.values()], shared(), this.family);
    const output = outputChain(this.family);
    return {
      table: this.#table,
      token: {},
      step,
      get sets(): Ruleset['sets'] {
        return sets();
      },
      get chains(): Ruleset['chains'] {
        return [output, ...chainsOf(shared())];
      },
    };
  }
}

/** What services with equally many slots share. */
type SharedPart = Choice | Turns;

/** A way to choose among a number of slots. */
interface Choice {
  readonly name: string;
  /** What VIPs are mapped to. */
  readonly number: number;
  readonly chain: Chain;
}

/** Rounds of a number of slots that begin in different places. */
interface Turns {
  readonly name: string;
  readonly turns: readonly SetElement[];
}

/** The rules of one service. */
interface ServicePart {
  readonly service: NetworkService;
  readonly backends: readonly string[];
  readonly vips: readonly SetElement[];
  readonly slots: readonly SetElement[];
  readonly shared: readonly SharedPart[];
}

const NOBODY: readonly string[] = [];

function isFor(part: ServicePart, service: NetworkService, backends: readonly string[]): boolean {
  if (part.backends !== backends && !isSameList(part.backends, backends)) return false;
  const known = part.service;
  if (known === service) return true;
  return known.affinity === service.affinity && isSameList(known.vips, service.vips);
}

export function isSameList(left: readonly unknown[], right: readonly unknown[]): boolean {
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
  const base = { service, backends, vips: [], slots: [], shared: [] };
  if (first === undefined) return base;
  const leadTo = ({ number }: Choice): readonly SetElement[] =>
    keys.map((key) => ({ key, value: hostOrder(number) }));
  if (own.length === 0) return { ...base, vips: leadTo(NOBODY_SERVES) };
  const addresses = service.affinity === 'client' ? stickySlots(own) : own;
  const choice =
    service.affinity === 'client'
      ? stickyChoice(addresses.length, family)
      : turnChoice(addresses.length, first, family);
  const turns = service.affinity === 'client' ? [] : turnsOf(addresses.length);
  return {
    ...base,
    shared: [choice, ...turns],
    vips: leadTo(choice),
    slots: keys.flatMap((key) =>
      addresses.map((address, slot) => ({
        key: Buffer.concat([key, hostOrder(slot)]),
        value: encodeAddress(address),
      })),
    ),
  };
}

/** Each new connection gets the next slot. */
function turnChoice(slots: number, vip: Buffer, family: Family): Choice {
  const counter = vip.readUInt32BE(vip.length - 4) % COUNTERS;
  const name = `turn-${slots}-${counter}`;
  const rule = [...nextSlot(slots, family), loadDestination(family), ...TRANSLATE_SLOT];
  return { name, number: slots * COUNTERS + counter, chain: { name, rules: [rule] } };
}

/** Puts the next slot behind where the VIP goes. */
function nextSlot(slots: number, family: Family): readonly RuleExpression[] {
  const target = secondRegister(family);
  const next = { kind: 'numgen', mode: 'increment', modulus: slots } as const;
  const starts = startsOf(slots);
  if (starts === 1) return [{ ...next, target }];
  const { length } = family;
  const offset = slots * STARTS;
  return [
    loadSource(3, family),
    { kind: 'jhash', source: 3, length, modulus: starts, seed: 0, offset, target: 16 },
    { ...next, target: 17 },
    { kind: 'lookup', set: 'turns', source: 3, target: 18 },
    ...moveByMark(18, target, 19),
  ];
}

function turnsOf(slots: number): readonly Turns[] {
  const starts = startsOf(slots);
  if (starts === 1) return [];
  const turnsFrom = (start: number): readonly SetElement[] => {
    const first = Math.floor((start * slots) / starts);
    return Array.from({ length: slots }, (_, turn) => ({
      key: Buffer.concat([hostOrder(slots * STARTS + start), hostOrder(turn)]),
      value: hostOrder((first + turn) % slots),
    }));
  };
  const turns = Array.from({ length: starts }, (_, start) => turnsFrom(start)).flat();
  return [{ name: `turns-${slots}`, turns }];
}

function startsOf(slots: number): number {
  return Math.max(1, Math.min(slots, STARTS, Math.floor(TURNS_MAX / slots)));
}

/** All connections from one address get the same slot. */
function stickyChoice(slots: number, family: Family): Choice {
  const { length } = family;
  const target = secondRegister(family);
  const hash = { kind: 'jhash', source: 3, length, modulus: slots, seed: 0, target } as const;
  const name = `client-${slots}`;
  const rule = [loadSource(3, family), hash, loadDestination(family), ...TRANSLATE_SLOT];
  return { name, number: STICKY + slots, chain: { name, rules: [rule] } };
}

/** Directly behind the VIP, which is in register 1: number 8 is the first quarter of that. */
function secondRegister({ length }: Family): number {
  return 8 + length / 4;
}

const TRANSLATE_SLOT: readonly RuleExpression[] = [
  { kind: 'lookup', set: 'slots', source: 1, target: 1 },
  { kind: 'dnat', address: 1 },
];

function setsOf(
  parts: readonly ServicePart[],
  shared: readonly SharedPart[],
  { keyType }: Family,
): Ruleset['sets'] {
  return [
    {
      name: 'vips',
      shape: { key: [keyType], value: ['mark'] },
      elements: parts.flatMap((part) => part.vips),
    },
    {
      name: 'choices',
      shape: { key: ['mark'], value: 'verdict' },
      elements: shared.filter(isChoice).map(({ number, chain: { name: chain } }) => ({
        key: hostOrder(number),
        verdict: { verdict: 'jump', chain },
      })),
    },
    {
      name: 'turns',
      shape: { key: ['mark', 'mark'], value: ['mark'] },
      elements: shared.flatMap((part) => (isChoice(part) ? [] : part.turns)),
    },
    {
      name: 'slots',
      shape: { key: [keyType, 'mark'], value: [keyType] },
      elements: parts.flatMap((part) => part.slots),
    },
  ];
}

function chainsOf(shared: readonly SharedPart[]): readonly Chain[] {
  return shared.filter(isChoice).map(({ chain }) => chain);
}

function isChoice(part: SharedPart): part is Choice {
  return 'chain' in part;
}

/**
 * From one register to another by the packet's mark, which is put back: a map that is asked with what another gave ends the
 * `nft` of Debian 12 when it lists the rules.
 */
function moveByMark(source: number, target: number, spare: number): readonly RuleExpression[] {
  return [
    { kind: 'meta', key: 'mark', target: spare },
    { kind: 'meta-set', key: 'mark', source },
    { kind: 'meta', key: 'mark', target },
    { kind: 'meta-set', key: 'mark', source: spare },
  ];
}

/**
 * The first packet of a connection is judged by the chains as they were when it came in, but each map is asked as it is at
 * that moment. So while the kernel goes over to other rules, a packet may have got a number that leads nowhere
 * any more: it is asked about once more, from the beginning. And it may be led to a chain that is new, which is still empty
 * to it: hence chains come a transaction before what leads to them. Whatever else may happen, nothing goes on to the VIP
 * itself, which nobody has: that would be three seconds of looking for a neighbour, then an error. What is dropped
 * the client sends again.
 */
function outputChain(family: Family): Chain {
  const number = secondRegister(family);
  const ofVip: readonly RuleExpression[] = [
    loadDestination(family),
    { kind: 'lookup', set: 'vips', source: 1, target: number },
  ];
  const lead: readonly RuleExpression[] = [
    ...ofVip,
    ...moveByMark(number, number, number + 1),
    { kind: 'lookup', set: 'choices', source: number, target: 0 },
  ];
  const refuse: readonly RuleExpression[] = [
    ...ofVip,
    // Only for those who list the rules: a lookup whose answer nobody takes is not shown.
    { kind: 'meta-set', key: 'mark', source: number },
    { kind: 'verdict', verdict: { verdict: 'drop' } },
  ];
  return {
    name: 'output',
    hook: { type: 'nat', hook: 'output', priority: PRIORITY_DNAT },
    rules: [lead, lead, refuse],
  };
}

/**
 * Where the VIP of a service without backends leads. Within the NAT hook, which sees only the first packet of a
 * connection: a filter would look at every packet of all. That the connection is new goes without saying, but a rule that
 * asks is what makes the kernel track connections of the family at all, without which the hook sees none.
 */
const NOBODY_SERVES: Choice = {
  name: 'nobody',
  number: 0,
  chain: {
    name: 'nobody',
    rules: [
      [...matchNewConnection, ...matchProtocol('tcp'), { kind: 'reject', reply: 'tcp-reset' }],
      [{ kind: 'reject', reply: 'port-unreachable' }],
    ],
  },
};
