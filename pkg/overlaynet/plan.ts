import { type MarkRule, TABLE_MAIN } from 'vxlan-netlink';
import { isLinkLocal } from './family.ts';
import type {
  DesiredLink,
  FdbEntry,
  LinkAddress,
  Neighbour,
  ObservedLink,
  ObservedNamespace,
  Operation,
  Route,
} from './kernel/kernel.ts';

type Ways = Pick<DesiredNamespace, 'neighbours' | 'fdb'>;

/** From one set of static entries to another, nothing else looked at. */
export function planWays(before: Ways, after: Ways): readonly Operation[] {
  const neighbourKey = ({ link, address, mac }: Neighbour): string => `${link} ${address} ${mac}`;
  const fdbKey = ({ link, mac, tunnel }: FdbEntry): string => `${link} ${mac} ${tunnel ?? ''}`;
  const neighbours = exchange(before.neighbours, after.neighbours, neighbourKey);
  const fdb = exchange(before.fdb, after.fdb, fdbKey);
  return [
    ...neighbours.gone.map((neighbour): Operation => ({ do: 'delete-neighbour', neighbour })),
    ...fdb.gone.map((entry): Operation => ({ do: 'delete-fdb', entry })),
    ...fdb.fresh.map((entry): Operation => ({ do: 'put-fdb', entry })),
    ...neighbours.fresh.map((neighbour): Operation => ({ do: 'put-neighbour', neighbour })),
  ];
}

function exchange<T>(
  before: readonly T[],
  after: readonly T[],
  keyOf: (item: T) => string,
): { readonly gone: readonly T[]; readonly fresh: readonly T[] } {
  const [old, next] = [new Set(before.map(keyOf)), new Set(after.map(keyOf))];
  return {
    gone: before.filter((item) => !next.has(keyOf(item))),
    fresh: after.filter((item) => !old.has(keyOf(item))),
  };
}

/** Links, addresses, routes and static tables that a namespace should have. */
export interface DesiredNamespace {
  readonly links: readonly DesiredLink[];
  readonly addresses: readonly LinkAddress[];
  readonly routes: readonly Route[];
  readonly rules: readonly MarkRule[];
  readonly neighbours: readonly Neighbour[];
  readonly fdb: readonly FdbEntry[];
  /** Neighbours and FDB entries are ours too, also where none is desired. */
  readonly ownsEntries?: boolean | undefined;
  /** Links whose names start so are ours: one that is not desired is deleted, and so are addresses on the others. */
  readonly ownedLinkPrefix?: string | undefined;
  /** Mark rules of these priorities are ours. */
  readonly ownedRulePriorities?: readonly number[] | undefined;
  /** False: nothing is taken away, for the time before all containers are known again. */
  readonly prune: boolean;
}

/**
 * The operations that turn `observed` into `desired`, in an order the kernel accepts; empty when nothing differs. What
 * others may have added stays: addresses on links that are not ours, routes of the main table, neighbours off the tunnel.
 */
export function planNamespace(
  desired: DesiredNamespace,
  observed: ObservedNamespace,
): readonly Operation[] {
  const links = planLinks(desired, observed);
  const survivors = new Set(links.kept);
  const kinds = new Map(desired.links.map((link) => [link.name, link.kind]));
  const additions: Operation[] = [];
  const removals: Operation[] = [];
  const compare = <T>(want: readonly T[], have: readonly T[], rows: Comparison<T>): void => {
    // What hung on a link that is made anew went with the old one.
    const live = have.filter((item) => survivors.has(rows.link(item)) || rows.link(item) === '');
    const haveKeys = new Set(live.map(rows.key));
    const wantKeys = new Set(want.map(rows.key));
    for (const item of want) if (!haveKeys.has(rows.key(item))) additions.push(rows.add(item));
    if (!desired.prune) return;
    for (const item of live) {
      if (rows.mine(item) && !wantKeys.has(rows.key(item))) removals.push(rows.remove(item));
    }
  };
  compare(desired.addresses, observed.addresses, {
    key: (item) => `${item.link} ${item.address}`,
    link: (item) => item.link,
    // Those that the kernel makes by itself come and go with the link.
    mine: ({ link, address }) => isOurs(desired, link) && kinds.has(link) && !isLinkLocal(address),
    add: (address) => ({ do: 'add-address', address }),
    remove: (address) => ({ do: 'delete-address', address }),
  });
  compare(desired.routes, observed.routes, {
    key: (item) => `${item.table} ${item.destination} ${item.link} ${item.gateway ?? ''}`,
    link: (item) => item.link,
    mine: (item) => item.table !== TABLE_MAIN && kinds.has(item.link),
    add: (route) => ({ do: 'add-route', route }),
    remove: (route) => ({ do: 'delete-route', route }),
  });
  compare(desired.rules, observed.rules, {
    key: ({ family, priority, mark, mask, table, others }) =>
      `${family} ${priority} ${mark}/${mask} ${table} ${others?.goOnAt}`,
    link: () => '',
    mine: ({ priority }) => desired.ownedRulePriorities?.includes(priority) === true,
    add: (rule) => ({ do: 'add-rule', rule }),
    remove: (rule) => ({ do: 'delete-rule', rule }),
  });
  compare(desired.neighbours, observed.neighbours, {
    key: (item) => `${item.link} ${item.address} ${item.mac}`,
    link: (item) => item.link,
    mine: (item) => kinds.get(item.link) === 'vxlan',
    add: (neighbour) => ({ do: 'put-neighbour', neighbour }),
    remove: (neighbour) => ({ do: 'delete-neighbour', neighbour }),
  });
  compare(desired.fdb, observed.fdb, {
    key: (item) => `${item.link} ${item.mac} ${item.tunnel ?? ''}`,
    link: (item) => item.link,
    mine: (item) => kinds.has(item.link),
    add: (entry) => ({ do: 'put-fdb', entry }),
    remove: (entry) => ({ do: 'delete-fdb', entry }),
  });
  // Removals first: an address that moved between links must leave one before it enters the other.
  return [...links.operations, ...removals, ...additions];
}

interface Comparison<T> {
  readonly key: (item: T) => string;
  readonly link: (item: T) => string;
  readonly mine: (item: T) => boolean;
  readonly add: (item: T) => Operation;
  readonly remove: (item: T) => Operation;
}

function planLinks(
  desired: DesiredNamespace,
  observed: ObservedNamespace,
): { readonly operations: readonly Operation[]; readonly kept: readonly string[] } {
  const operations: Operation[] = [];
  const kept: string[] = [];
  const have = new Map(observed.links.map((link) => [link.name, link]));
  const names = new Set(desired.links.map((link) => link.name));
  for (const { name } of observed.links) {
    if (isOurs(desired, name) && !names.has(name)) operations.push({ do: 'delete-link', name });
  }
  for (const link of desired.links) {
    const old = have.get(link.name);
    if (old !== undefined && isSameDevice(link, old)) {
      kept.push(link.name);
      operations.push(...changesOf(link, old));
      continue;
    }
    if (link.kind === 'present') continue;
    if (old !== undefined) operations.push({ do: 'delete-link', name: link.name });
    operations.push({ do: 'add-link', link }, ...changesOf(link, undefined));
  }
  return { operations, kept };
}

function isOurs(desired: DesiredNamespace, name: string): boolean {
  const prefix = desired.ownedLinkPrefix;
  return desired.prune && prefix !== undefined && name.startsWith(prefix);
}

/** Differences that need a new device; everything else is changed in place. */
function isSameDevice(link: DesiredLink, old: ObservedLink): boolean {
  if (link.kind === 'present') return true;
  if (link.kind !== old.kind) return false;
  if (link.kind !== 'vxlan') return true;
  return (
    old.vxlan?.vni === link.vni && old.vxlan.local === link.local && old.vxlan.port === link.port
  );
}

function changesOf(link: DesiredLink, old: ObservedLink | undefined): readonly Operation[] {
  const { name } = link;
  const mtu = link.mtu !== undefined && link.mtu !== (old?.mtu ?? link.mtu) ? link.mtu : undefined;
  const mac = link.mac !== undefined && link.mac !== (old?.mac ?? link.mac) ? link.mac : undefined;
  const joins = link.master !== undefined && link.master !== (old?.master ?? '');
  const up = old?.up === true ? undefined : true;
  const master = joins ? link.master : undefined;
  const operations: Operation[] = [];
  if ([mtu, mac, master, up].some((change) => change !== undefined)) {
    operations.push({ do: 'change-link', name, mtu, mac, master, up });
  }
  if (joins) {
    // Frames that arrive by the tunnel teach nothing: every remote address is a static entry.
    const learning = link.kind !== 'vxlan';
    const [isolated, hairpin] = [link.isolated === true, link.hairpin === true];
    operations.push({ do: 'change-port', name, learning, isolated, hairpin });
  }
  return operations;
}
