import type { Logger } from '../../io/index.ts';
import type { NetworkService, NetworkTable } from '../../model/index.ts';
import type { Backends } from '../backends.ts';
import { IPV4, IPV6 } from '../family.ts';
import type { ConnectHooks } from '../kernel/connect-hooks.ts';
import type { Kernel, Namespace } from '../kernel/kernel.ts';
import { isSameList } from '../same-list.ts';
import { addressKey, type MapName, memberKey, numbers } from './maps.ts';

/** Backends that left are still somebody's peer: for so many of them the kernel goes on to say which VIP that was. */
const FORMER_MAX = 1_024;
const HASHES = ['vips', 'slots', 'members', 'origins'] as const satisfies readonly MapName[];
const FAMILIES = [IPV4, IPV6] as const;
const NOBODY: readonly string[] = [];

/** One family's virtual IPs of a service, and who serves them. */
interface Part {
  /** The service's in the maps, for this family. */
  readonly number: number;
  readonly vips: readonly [string, ...string[]];
  readonly backends: readonly string[];
}

interface Known {
  readonly service: NetworkService;
  readonly backends: readonly string[];
  readonly number: number;
  readonly parts: readonly Part[];
}

/** A backend that left: the virtual IP it stood for. */
interface Former {
  readonly vip: string;
  readonly network: Network;
}

interface Network {
  readonly number: number;
  list: NetworkTable['services'];
  readonly services: Map<string, Known>;
  /** To be offered again. */
  readonly withdrawn: Map<string, NetworkService>;
}

/**
 * Undefined where sockets cannot choose for themselves: virtual IPs are left to the rules then.
 * @param cgroup path within the v2 tree of the cgroup that containers are in or below
 */
export function openConnectChoice(
  kernel: Pick<Kernel, 'connectHooks'>,
  host: Pick<Namespace, 'cookie'>,
  { cgroup, log }: { readonly cgroup?: string | undefined; readonly log: Logger },
): ConnectChoice | undefined {
  if (cgroup === undefined) return undefined;
  let hooks: ConnectHooks | undefined;
  try {
    host.cookie();
    hooks = kernel.connectHooks(cgroup);
    hooks.attach();
    return new ConnectChoice(hooks, log);
  } catch (error) {
    hooks?.[Symbol.dispose]();
    log.info('backends are not chosen at connect: this kernel has no such programs', { error });
    return undefined;
  }
}

/** What of a container's wiring this is about. */
export interface Member {
  readonly id: string;
  readonly namespace: Pick<Namespace, 'cookie'>;
  readonly attachments: readonly { readonly networkId: string }[];
}

/**
 * What the kernel's programs look up when a container's socket connects (`programs.ts`), for the whole host: one entry for
 * each virtual IP, however many containers there are. It abbreviates the rules in the containers and says
 * the same; who finds nothing here goes the way of the rules. Hence a service whose endpoints change is
 * withdrawn before the rules change, and offered again after. Services with affinity are left to the rules.
 */
export class ConnectChoice {
  readonly #hooks: ConnectHooks;
  readonly #log: Logger;
  readonly #networks = new Map<string, Network>();
  /** By container: the namespace's cookie, and the numbers of its networks. */
  readonly #members = new Map<string, { readonly cookie: string; networks: ReadonlySet<number> }>();
  /** Backends that left, the oldest first. */
  readonly #former = new Map<string, Former>();
  #lastNumber = 0;
  /** Something found no room: what is missing says nothing. */
  #isFull = false;

  /** @param hooks attached, with empty maps */
  constructor(hooks: ConnectHooks, log: Logger) {
    this.#hooks = hooks;
    this.#log = log;
  }

  /**
   * Takes away what a table changes, before the rules are told.
   * @param touched services whose backends may have changed; all when absent
   */
  withdraw(table: NetworkTable, backends: Backends, touched?: ReadonlySet<string>): void {
    if (table.ingress) return;
    const network = this.#network(table.networkId);
    const isSame = network.list === table.services && touched !== undefined;
    const candidates = isSame
      ? [...touched].flatMap((id) => network.services.get(id)?.service ?? [])
      : table.services;
    for (const service of candidates) {
      const known = network.services.get(service.serviceId);
      if (known && isFor(known, service, backends.get(service.serviceId) ?? NOBODY)) continue;
      if (known) this.#hide(known);
      network.withdrawn.set(service.serviceId, service);
    }
    network.list = table.services;
    if (!isSame) this.#dropOthers(network);
  }

  /** Offers what was withdrawn, as it is now, once the rules know. */
  offer(networkId: string, backends: Backends): void {
    const network = this.#networks.get(networkId);
    if (!network) return;
    for (const [id, service] of network.withdrawn) {
      const before = network.services.get(id);
      const number = before?.number ?? ++this.#lastNumber;
      const now = backends.get(id) ?? NOBODY;
      const after = { service, backends: now, number, parts: partsOf(service, now, number) };
      network.services.set(id, after);
      this.#replace(network, before?.parts ?? [], after.parts);
      for (const part of after.parts) {
        for (const [key, value] of vipEntries(network, part)) this.#put('vips', key, value);
      }
    }
    // Not before all are told: an address may have passed from one service to another.
    const offered = [...network.withdrawn.keys()].flatMap(
      (id) => network.services.get(id)?.parts ?? [],
    );
    for (const backend of offered.flatMap((part) => part.backends)) this.#former.delete(backend);
    this.#forgetOldest();
    network.withdrawn.clear();
  }

  /** A network that this host has nothing to do with any more. */
  forget(networkId: string): void {
    const network = this.#networks.get(networkId);
    if (!network) return;
    network.list = [];
    this.#dropOthers(network);
    this.#networks.delete(networkId);
    for (const [backend, former] of this.#former) {
      if (former.network === network) this.#forgetFormer(backend);
    }
  }

  /** The container is on these networks from now on, and its rules lead to all of them. */
  join({ id, namespace, attachments }: Member): void {
    const before = this.#members.get(id);
    const cookie = before?.cookie ?? namespace.cookie();
    const networks = new Set(attachments.map(({ networkId }) => this.#network(networkId).number));
    const known = before?.networks ?? new Set<number>();
    this.#members.set(id, { cookie, networks });
    for (const number of known) {
      if (!networks.has(number)) this.#hooks.delete('members', memberKey(cookie, number));
    }
    for (const number of networks) {
      if (!known.has(number)) this.#put('members', memberKey(cookie, number), IS_MEMBER);
    }
  }

  leave(id: string): void {
    const member = this.#members.get(id);
    if (!member) return;
    this.#members.delete(id);
    for (const number of member.networks) {
      this.#hooks.delete('members', memberKey(member.cookie, number));
    }
  }

  /** Reads the kernel back and puts it right; returns how much was to do. */
  repair(): number {
    let repairs = this.#hooks.attach();
    for (const map of HASHES) {
      const { missing, strange } = this.#compare(map);
      for (const key of strange) this.#hooks.delete(map, Buffer.from(key, 'hex'));
      for (const [key, value] of missing) {
        this.#put(map, Buffer.from(key, 'hex'), Buffer.from(value, 'hex'));
      }
      repairs += strange.length + missing.length;
    }
    return repairs;
  }

  /** Where the kernel is not as it should be. */
  differences(): readonly string[] {
    const programs = this.#hooks.missing();
    const attached = programs === 0 ? [] : [`choice at connect: ${programs} programs not attached`];
    const entries = HASHES.flatMap((map) => {
      const { missing, strange } = this.#compare(map);
      const count = strange.length + missing.length;
      return count === 0 ? [] : [`choice at connect: ${count} of ${map} not as told`];
    });
    return [...attached, ...entries];
  }

  /** The programs stay as they are until the next agent. */
  close(): void {
    this.#hooks[Symbol.dispose]();
  }

  removeEverything(): void {
    this.#hooks.detach();
    this.close();
  }

  #network(networkId: string): Network {
    const known = this.#networks.get(networkId);
    if (known) return known;
    const number = ++this.#lastNumber;
    const network = { number, list: [], services: new Map(), withdrawn: new Map() };
    this.#networks.set(networkId, network);
    return network;
  }

  #hide({ parts }: Known): void {
    for (const vip of parts.flatMap(({ vips }) => vips))
      this.#hooks.delete('vips', addressKey(vip));
  }

  #dropOthers(network: Network): void {
    const kept = new Set<string>(network.list.map(({ serviceId }) => serviceId));
    for (const id of network.withdrawn.keys()) if (!kept.has(id)) network.withdrawn.delete(id);
    for (const [id, known] of network.services) {
      if (kept.has(id)) continue;
      this.#hide(known);
      this.#replace(network, known.parts, []);
      network.services.delete(id);
    }
  }

  /** Slots and origins of a service that nothing leads to for now. */
  #replace(network: Network, before: readonly Part[], after: readonly Part[]): void {
    for (const part of after) {
      const old = before.find(({ number }) => number === part.number);
      this.#putNew(part, old);
    }
    for (const { number, backends } of before) {
      const left = after.find((part) => part.number === number)?.backends.length ?? 0;
      for (let slot = left; slot < backends.length; slot++) {
        this.#hooks.delete('slots', numbers(number, slot));
      }
    }
    for (const { backends, vips } of before) {
      for (const backend of backends) this.#former.set(backend, { vip: vips[0], network });
    }
  }

  #putNew(part: Part, old: Part | undefined): void {
    for (const [slot, backend] of part.backends.entries()) {
      if (old?.backends[slot] !== backend) this.#put('slots', ...slotEntry(part, slot, backend));
    }
    const known = new Set(old?.vips[0] === part.vips[0] ? old?.backends : []);
    for (const backend of new Set(part.backends)) {
      if (!known.has(backend)) this.#put('origins', ...originEntry(part, backend));
    }
  }

  #forgetOldest(): void {
    for (const backend of this.#former.keys()) {
      if (this.#former.size <= FORMER_MAX) return;
      this.#forgetFormer(backend);
    }
  }

  #forgetFormer(backend: string): void {
    this.#former.delete(backend);
    this.#hooks.delete('origins', addressKey(backend));
  }

  #put(map: MapName, key: Buffer, value: Buffer): void {
    if (this.#hooks.put(map, key, value) || this.#isFull) return;
    this.#isFull = true;
    this.#log.info('some virtual IPs are left to the rules: no room for more', { map });
  }

  #compare(map: (typeof HASHES)[number]): {
    readonly missing: readonly (readonly [string, string])[];
    readonly strange: readonly string[];
  } {
    const have = this.#hooks.entries(map);
    const wanted = new Map(
      this.#wanted(map).map(([key, value]) => [key.toString('hex'), value.toString('hex')]),
    );
    const missing = [...wanted].filter(([key, value]) => have.get(key) !== value);
    const strange = [...have.keys()].filter((key) => !wanted.has(key));
    return { missing: this.#isFull ? [] : missing, strange };
  }

  #wanted(map: (typeof HASHES)[number]): readonly Entry[] {
    if (map === 'members') {
      return [...this.#members.values()].flatMap(({ cookie, networks }) =>
        [...networks].map((number): Entry => [memberKey(cookie, number), IS_MEMBER]),
      );
    }
    const former = [...this.#former].map(
      ([backend, { vip }]): Entry => [addressKey(backend), addressKey(vip)],
    );
    const now = [...this.#networks.values()].flatMap((network) =>
      [...network.services].flatMap(([id, { parts }]) => {
        if (map === 'slots') return parts.flatMap(slotEntries);
        if (map === 'origins') return parts.flatMap(originEntries);
        return network.withdrawn.has(id) ? [] : parts.flatMap((part) => vipEntries(network, part));
      }),
    );
    return map === 'origins' ? [...former, ...now] : now;
  }
}

type Entry = readonly [key: Buffer, value: Buffer];
const IS_MEMBER = numbers(1);

function isFor(known: Known, service: NetworkService, backends: readonly string[]): boolean {
  if (known.backends !== backends && !isSameList(known.backends, backends)) return false;
  if (known.service === service) return true;
  return (
    known.service.affinity === service.affinity && isSameList(known.service.vips, service.vips)
  );
}

function partsOf(
  { vips, affinity }: NetworkService,
  backends: readonly string[],
  number: number,
): readonly Part[] {
  if (affinity === 'client') return [];
  return FAMILIES.flatMap(({ has }, at) => {
    const [first, ...more] = vips.filter(has);
    const own = backends.filter(has);
    if (first === undefined || own.length === 0) return [];
    return [{ number: number * FAMILIES.length + at, vips: [first, ...more], backends: own }];
  });
}

function vipEntries(network: Network, { number, vips, backends }: Part): readonly Entry[] {
  const value = numbers(network.number, backends.length, number);
  return vips.map((vip) => [addressKey(vip), value]);
}

function slotEntry({ number }: Part, slot: number, backend: string): Entry {
  return [numbers(number, slot), addressKey(backend)];
}

function originEntry({ vips: [vip] }: Part, backend: string): Entry {
  return [addressKey(backend), addressKey(vip)];
}

function slotEntries(part: Part): readonly Entry[] {
  return part.backends.map((backend, slot) => slotEntry(part, slot, backend));
}

function originEntries(part: Part): readonly Entry[] {
  return part.backends.map((backend) => originEntry(part, backend));
}
