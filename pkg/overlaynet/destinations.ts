import { CT_STATUS_DNAT, encodeAddress, type RuleExpression } from 'vxlan-netlink';
import type { AppliedRulesets } from './applied-rulesets.ts';
import { CONNECTED_BY_VIP } from './connect/maps.ts';
import { loadDestination, matchCtBits, matchLink, matchMark, matchProtocol } from './expression.ts';
import { type Family, IPV4, IPV6 } from './family.ts';
import type { Namespace } from './kernel/kernel.ts';
import { DESTINATIONS_TABLE, leadsToBackends } from './name.ts';
import type { Ruleset } from './ruleset.ts';

/** After the destination was translated, before a source is: the hook passes over the chains behind that. */
const PRIORITY_BEFORE_SNAT = 50;
/** So many the kernel notes. */
const DESTINATIONS_MAX = 65_535;
const ALL = 'all';
const BY_UDP = 'by-udp';

/**
 * Whom a namespace's connections to virtual IPs were led to, by translation or when they connected, noted by the kernel once per connection. To ask the kernel for
 * the connections themselves makes it walk a table of the whole machine: 9 ms where that has 262,144 buckets, in each
 * namespace that might know the address. The note says in 0.1 ms that there is none.
 *
 * The notes outlive the agent. Where somebody else changed tables, or an agent led connections before any was noted,
 * there are none, and everything may have been led anywhere; so too when there was no room for a note.
 */
export class Destinations {
  readonly #namespace: Namespace;
  readonly #rulesets: AppliedRulesets;
  readonly #link: string | undefined;
  /** Whether every connection of a family that was led anywhere is noted. */
  readonly #isComplete = new Map<Family, boolean>();

  /** @param link of the namespace: only what leaves by it is noted; everything when absent */
  constructor(namespace: Namespace, rulesets: AppliedRulesets, link?: string) {
    this.#namespace = namespace;
    this.#rulesets = rulesets;
    this.#link = link;
  }

  /** To be called before any rule of the family leads anywhere. */
  keep(family: Family): void {
    if (this.#isComplete.has(family)) return;
    const isFirst = !this.#namespace.tables().some((table) => leadsToBackends(table, family));
    const isAdopted = this.#rulesets.adopt(destinationsRuleset(family, this.#link));
    if (isFirst || isAdopted) this.#isComplete.set(family, true);
    else this.#giveUp(family);
  }

  /** When nothing is led anywhere any more. Connections that were go on, so that notes begun later would not be complete. */
  drop(family: Family): void {
    if (this.#isComplete.has(family)) this.#giveUp(family);
  }

  /** Those of the addresses that some connection was led to, or may have been. */
  among(addresses: ReadonlySet<string>, protocol?: 'udp'): ReadonlySet<string> {
    if (addresses.size === 0) return addresses;
    if (!this.#rulesets.isOurs) for (const family of this.#isComplete.keys()) this.#giveUp(family);
    const parts = [IPV4, IPV6].flatMap((family) => {
      const some = [...addresses].filter(family.has);
      return this.#noted(family, some, protocol === 'udp' ? BY_UDP : ALL);
    });
    return new Set(parts);
  }

  /** As `among`, for addresses that nothing leads to any more: they are noted anew when something does again. */
  take(addresses: ReadonlySet<string>): ReadonlySet<string> {
    const found = this.among(addresses);
    for (const family of this.#isComplete.keys()) {
      const some = [...addresses].filter(family.has);
      for (const set of [ALL, BY_UDP]) this.#forget(family, set, some);
    }
    return found;
  }

  #noted(family: Family, addresses: readonly string[], set: string): readonly string[] {
    const isComplete = this.#isComplete.get(family);
    // Nothing is led anywhere before `keep`.
    if (addresses.length === 0 || isComplete === undefined) return [];
    if (!isComplete) return addresses;
    const members = this.#members(family, set);
    if (members.size >= DESTINATIONS_MAX) {
      this.#giveUp(family);
      return addresses;
    }
    return addresses.filter((address) => members.has(encodeAddress(address).toString('hex')));
  }

  #forget(family: Family, set: string, addresses: readonly string[]): void {
    const members = addresses.length === 0 ? new Set() : this.#members(family, set);
    const keys = addresses.map(encodeAddress).filter((key) => members.has(key.toString('hex')));
    if (keys.length === 0) return;
    const elements = keys.map((key) => ({ key }));
    const table = family.tableOf(DESTINATIONS_TABLE);
    this.#rulesets.commit([{ do: 'delete-elements', table, set, elements }]);
  }

  #giveUp(family: Family): void {
    this.#isComplete.set(family, false);
    this.#rulesets.remove(family.tableOf(DESTINATIONS_TABLE));
  }

  #members(family: Family, set: string): ReadonlySet<string> {
    return new Set(this.#namespace.setMembers(family.tableOf(DESTINATIONS_TABLE), set));
  }
}

function destinationsRuleset(family: Family, link: string | undefined): Ruleset {
  const shape = { key: [family.keyType], grows: {} };
  const leaves = link === undefined ? [] : matchLink('oifname', 'eq', link);
  const translated = [...leaves, ...matchCtBits('status', CT_STATUS_DNAT)];
  const note = (set: string): readonly RuleExpression[] => [
    loadDestination(family),
    { kind: 'note', set, source: 1 },
  ];
  return {
    table: family.tableOf(DESTINATIONS_TABLE),
    sets: [
      { name: ALL, shape, elements: [] },
      { name: BY_UDP, shape, elements: [] },
    ],
    chains: [
      {
        name: 'postrouting',
        hook: { type: 'nat', hook: 'postrouting', priority: PRIORITY_BEFORE_SNAT },
        rules: [
          [...translated, ...note(ALL)],
          [...leaves, ...matchMark(CONNECTED_BY_VIP), ...note(ALL)],
          [...translated, ...matchProtocol('udp'), ...note(BY_UDP)],
        ],
      },
    ],
  };
}
