import { encodeAddress, type RuleExpression, type SetElement } from 'vxlan-netlink';
import { beganAt } from './backends.ts';
import { CONNECTED_BY_VIP } from './connect/maps.ts';
import { loadDestination, matchMark } from './expression.ts';
import type { Family } from './family.ts';
import type { NamedSet } from './ruleset.ts';

/** The newest so many are remembered, of each network. */
const FORMER_MAX = 256;

export interface BackendChange {
  readonly serviceId: string;
  readonly before: readonly string[];
  readonly after: readonly string[];
}

interface Former {
  readonly serviceId: string;
  /** Who serves in its place; undefined when nobody does. */
  readonly heir: string | undefined;
  readonly element: SetElement;
}

/** Elements that come and go with a change. */
export interface HeirsStep {
  readonly old: readonly Former[];
  readonly fresh: readonly Former[];
}

/**
 * Backends that take no connections any more, and who does in their place. A socket that chose its backend when it
 * connected (`connect/`) goes on asking that one, and only rules can lead it elsewhere: what is still to be connected when the backend
 * leaves, and what the kernel was made to forget because nobody has the backend's address any more. Sockets are told
 * by their mark: what was sent to the address itself finds nobody.
 */
export class Heirs {
  readonly #former = new Map<string, Former>();

  get all(): readonly Former[] {
    return [...this.#former.values()];
  }

  update(changes: readonly BackendChange[]): HeirsStep {
    const before = new Set(this.#former.values());
    for (const change of changes) this.#pass(change);
    // An address may have passed from one service to another.
    for (const address of changes.flatMap(({ after }) => after)) this.#former.delete(address);
    for (const address of this.#former.keys()) {
      if (this.#former.size <= FORMER_MAX) break;
      this.#former.delete(address);
    }
    const now = new Set(this.#former.values());
    return {
      old: [...before].filter((former) => !now.has(former)),
      fresh: [...now].filter((former) => !before.has(former)),
    };
  }

  /** What left, and what had an heir that left, gets another one. */
  #pass({ serviceId, before, after }: BackendChange): void {
    const orphans = [...this.#former]
      .filter(([, former]) => former.serviceId === serviceId)
      .filter(([, { heir }]) => (heir === undefined ? after.length > 0 : !after.includes(heir)))
      .map(([address]) => address);
    const left = before.filter((address) => !after.includes(address));
    for (const address of [...orphans, ...left]) this.#add(address, serviceId, after);
  }

  #add(address: string, serviceId: string, serving: readonly string[]): void {
    const heir = serving.length === 0 ? undefined : beganAt(serving, address)[0];
    const key = encodeAddress(address);
    const element = heir === undefined ? { key } : { key, value: encodeAddress(heir) };
    this.#former.set(address, { serviceId, heir, element });
  }
}

export function heirSets(former: readonly Former[], { keyType }: Family): readonly NamedSet[] {
  return [
    {
      name: 'heirs',
      shape: { key: [keyType], value: [keyType] },
      elements: former.filter(({ heir }) => heir !== undefined).map(({ element }) => element),
    },
    {
      name: 'heirless',
      shape: { key: [keyType] },
      elements: former.filter(({ heir }) => heir === undefined).map(({ element }) => element),
    },
  ];
}

/** For the NAT hook of what leaves. */
export function heirRules(family: Family): readonly (readonly RuleExpression[])[] {
  const toFormer: readonly RuleExpression[] = [
    ...matchMark(CONNECTED_BY_VIP),
    loadDestination(family),
  ];
  return [
    [
      ...toFormer,
      { kind: 'lookup', set: 'heirs', source: 1, target: 1 },
      { kind: 'dnat', address: 1 },
    ],
    [
      ...toFormer,
      { kind: 'lookup', set: 'heirless', source: 1 },
      { kind: 'reject', reply: 'tcp-reset' },
    ],
  ];
}
