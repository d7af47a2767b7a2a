import { encodeAddress, type SetElement } from 'vxlan-netlink';
import type { NetworkService, NetworkTable } from '../model/index.ts';
import { type Backends, stickySlots } from './backends.ts';
import { hostOrder } from './expression.ts';
import { type Family, keysOf } from './family.ts';
import { type BackendChange, Heirs, type HeirsStep, heirSets } from './heirs.ts';
import { tableName } from './name.ts';
import { type Chain, diffRulesets, type Ruleset } from './ruleset.ts';
import { isSameList } from './same-list.ts';
import {
  type Choice,
  choiceAmong,
  NOBODY_SERVES,
  outputChain,
  type Share,
  type SharedPart,
} from './slot-choice.ts';

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
  readonly #heirs = new Heirs();
  readonly #output: Chain;
  #services: NetworkTable['services'] = [];
  #ruleset: Ruleset;

  /** @param family of the VIPs and backends that this is about; others are passed over */
  constructor(table: NetworkTable, backends: Backends, family: Family) {
    this.#table = family.tableOf(tableName(table.networkId));
    this.family = family;
    this.#output = outputChain(family);
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
    const made = new Map<string, SharedPart>();
    const share: Share = (name, make) => {
      const part = this.#shared.get(name)?.part ?? made.get(name) ?? make();
      made.set(name, part);
      return part as ReturnType<typeof make>;
    };
    for (const service of candidates) {
      const slots = backends.get(service.serviceId) ?? NOBODY;
      const known = this.#parts.get(service.serviceId);
      if (known && isFor(known, service, slots)) continue;
      const part = servicePart(service, slots, this.family, share);
      this.#parts.set(service.serviceId, part);
      if (known) old.push(known);
      fresh.push(part);
    }
    if (this.#parts.size > services.length) old.push(...this.#drop(services));
    this.#services = services;
    if (old.length + fresh.length === 0) return;
    const added = this.#use(fresh);
    const removed = this.#release(old);
    const heirs = this.#heirs.update(changesOf(old, fresh, this.family));
    // What VIPs are to be led by is there before any is: see `outputChain`.
    const transactions = [
      added.length > 0 ? diffRulesets(this.#partsOf([], []), this.#partsOf([], added)) : [],
      diffRulesets(this.#partsOf(old, removed, heirs.old), this.#partsOf(fresh, [], heirs.fresh)),
    ].filter((commands) => commands.length > 0);
    this.#ruleset = this.#newRuleset({ from: this.#ruleset.token, transactions });
  }

  #partsOf(
    parts: readonly ServicePart[],
    shared: readonly SharedPart[],
    heirs: HeirsStep['old'] = [],
  ): Ruleset {
    return {
      table: this.#table,
      sets: [...setsOf(parts, shared, this.family), ...heirSets(heirs, this.family)],
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
    const sets = (): Ruleset['sets'] => [
      ...setsOf([...this.#parts.values()], shared(), this.family),
      ...heirSets(this.#heirs.all, this.family),
    ];
    const output = this.#output;
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

/** The rules of one service. */
interface ServicePart {
  readonly service: NetworkService;
  readonly backends: readonly string[];
  readonly vips: readonly SetElement[];
  readonly slots: readonly SetElement[];
  readonly shared: readonly SharedPart[];
}

const NOBODY: readonly string[] = [];

function changesOf(
  old: readonly ServicePart[],
  fresh: readonly ServicePart[],
  { has }: Family,
): readonly BackendChange[] {
  const sides = (parts: readonly ServicePart[]): ReadonlyMap<string, readonly string[]> =>
    new Map(parts.map(({ service, backends }) => [service.serviceId, backends.filter(has)]));
  const [before, after] = [sides(old), sides(fresh)];
  return [...new Set([...before.keys(), ...after.keys()])].map((serviceId) => ({
    serviceId,
    before: before.get(serviceId) ?? NOBODY,
    after: after.get(serviceId) ?? NOBODY,
  }));
}

function isFor(part: ServicePart, service: NetworkService, backends: readonly string[]): boolean {
  if (part.backends !== backends && !isSameList(part.backends, backends)) return false;
  const known = part.service;
  if (known === service) return true;
  return known.affinity === service.affinity && isSameList(known.vips, service.vips);
}

function servicePart(
  service: NetworkService,
  backends: readonly string[],
  family: Family,
  share: Share,
): ServicePart {
  const keys = keysOf(family, service.vips);
  const [first] = keys;
  const own = backends.filter(family.has);
  const base = { service, backends, vips: [], slots: [], shared: [] };
  if (first === undefined) return base;
  const leadTo = ({ number: value }: Choice): readonly SetElement[] =>
    keys.map((key) => ({ key, value }));
  if (own.length === 0) return { ...base, vips: leadTo(NOBODY_SERVES.choice) };
  const sticky = service.affinity === 'client';
  const addresses = sticky ? stickySlots(own) : own;
  const { choice, shared } = choiceAmong(addresses.length, { sticky, vip: first, family, share });
  return {
    ...base,
    shared,
    vips: leadTo(choice),
    slots: keys.flatMap((key) =>
      addresses.map((address, slot) => ({
        key: Buffer.concat([key, hostOrder(slot)]),
        value: encodeAddress(address),
      })),
    ),
  };
}

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
      elements: choicesOf(shared).map(({ number: key, chain: { name: chain } }) => ({
        key,
        verdict: { verdict: 'jump', chain },
      })),
    },
    {
      name: 'turns',
      shape: { key: ['mark', 'mark'], value: ['mark'] },
      elements: shared.flatMap(({ turns }) => turns ?? []),
    },
    {
      name: 'slots',
      shape: { key: [keyType, 'mark'], value: [keyType] },
      elements: parts.flatMap((part) => part.slots),
    },
  ];
}

function chainsOf(shared: readonly SharedPart[]): readonly Chain[] {
  return choicesOf(shared).map(({ chain }) => chain);
}

function choicesOf(shared: readonly SharedPart[]): readonly Choice[] {
  return shared.flatMap(({ choice }) => choice ?? []);
}
