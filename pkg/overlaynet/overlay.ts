import { isIpv6 } from 'vxlan-netlink';
import { ClusterError, compareText, type NetworkTable } from '../model/index.ts';
import { type Backends, inService } from './backends.ts';
import { desiredHub, type HubContext, waysTo } from './desired.ts';
import { type Directory, directoryOfTable } from './directory.ts';
import { addressWithoutPrefix } from './expression.ts';
import { type Family, familiesOf, IPV6, IPV6_THERE } from './family.ts';
import { ingressReturnRulesets } from './ingress.ts';
import type { Kernel, Namespace } from './kernel/kernel.ts';
import { TUNNEL } from './name.ts';
import { pinOf } from './pin.ts';
import { planNamespace, planWays } from './plan.ts';
import { policyRuleset } from './policy.ts';
import { addLinks, differences, ensureSysctls, type PortFailure, reconcile } from './reconcile.ts';
import type { Attachment } from './record.ts';
import type { Ruleset } from './ruleset.ts';
import { isSameList } from './same-list.ts';
import { type EndpointChange, EndpointMemory, isSameHead } from './table-memory.ts';
import { VirtualIps } from './vip.ts';
import { withoutIpv6 } from './without-ipv6.ts';

/** Where the bridge filter is loaded every frame would pass all of the hub's packet hooks, and there is no rule in any. */
const WITHOUT_FILTER = {
  'net/bridge/bridge-nf-call-iptables': '0',
  'net/bridge/bridge-nf-call-ip6tables': '0',
  'net/bridge/bridge-nf-call-arptables': '0',
} as const;
/** IPv6 and its neighbour discovery have no business on a bridge that never carries it. */
const WITHOUT_IPV6 = {
  'net/ipv6/conf/all/disable_ipv6': '1',
  'net/ipv6/conf/default/disable_ipv6': '1',
} as const;
/** The tunnel answers solicitations only where IPv6 is on; links of the hub need no addresses for it. */
const WITH_IPV6 = {
  'net/ipv6/conf/default/addr_gen_mode': '1',
  'net/ipv6/conf/default/accept_ra': '0',
  'net/ipv6/conf/all/disable_ipv6': '0',
  'net/ipv6/conf/default/disable_ipv6': '0',
} as const;

/** Inner Ethernet, outer IPv4, UDP and VXLAN headers (RFC 7348 section 5). */
const VXLAN_OVERHEAD = 50;
/** An IPv6 header is so much longer. */
const IPV6_OVERHEAD = 20;
/** ESP header, nonce, padding, trailer and tag in transport mode (RFC 4303, RFC 4106): 37 at most. */
const ESP_OVERHEAD = 40;

const NO_POLICY: readonly Ruleset[] = [];

export interface TableChange {
  /** Addresses that took connections before and do not any more. */
  readonly removed: ReadonlySet<string>;
  /** Addresses that nobody holds any more. */
  readonly gone: ReadonlySet<string>;
  /** Whether any address came, went or changed its node, so that the hub's static entries differ. */
  readonly moved: boolean;
  /** Services whose backends may differ; absent when all may. */
  readonly touched?: ReadonlySet<string> | undefined;
  /** These endpoints alone moved; absent when more did, or when the kernel may hold something else. */
  readonly endpoints?: readonly EndpointChange[] | undefined;
}

/** The first table of a network. */
export const NEW_TABLE: TableChange = { removed: new Set(), gone: new Set(), moved: true };

/** One overlay network on this host: its hidden namespace and everything derived from its table. */
export class Overlay {
  readonly #kernel: Kernel;
  readonly #pin: string;
  readonly namespace: Namespace;
  readonly #hasIpv6: boolean;
  readonly #memory = new EndpointMemory();
  #told: NetworkTable;
  #table: NetworkTable;
  #directory: Directory | undefined;
  readonly #families: readonly Family[];
  readonly #virtualIps: readonly VirtualIps[];
  readonly #policies = new Map<string, readonly Ruleset[]>();
  /** Some service says whom it takes connections from. */
  #isRestricted: boolean;
  #returns: readonly Ruleset[];
  /** The kernel may not hold what the table says. */
  #doubtful = false;

  constructor(kernel: Kernel, runDir: string, told: NetworkTable) {
    this.#kernel = kernel;
    this.#pin = pinOf(runDir, told.networkId);
    kernel.createNamespace(this.#pin);
    this.namespace = kernel.open(this.#pin);
    this.#hasIpv6 = this.namespace.readSysctl(IPV6_THERE) !== undefined;
    this.#told = told;
    const table = this.#usable(told);
    this.#table = table;
    this.#families = familiesOf(table);
    this.#prepare();
    this.#isRestricted = isRestricted(table);
    this.#memory.update(table.endpoints);
    this.#virtualIps = this.#families.map(
      (family) => new VirtualIps(table, this.#memory.backends, family),
    );
    this.#returns = table.ingress ? ingressReturnRulesets(table) : [];
  }

  /** As it came. */
  get told(): NetworkTable {
    return this.#told;
  }

  /** As far as this host uses it. */
  get table(): NetworkTable {
    return this.#table;
  }

  /** The same object for as long as the overlay lives. */
  get backends(): Backends {
    return this.#memory.backends;
  }

  /** Made when the first name is asked after a change. */
  get directory(): Directory {
    this.#directory ??= directoryOfTable(this.#table);
    return this.#directory;
  }

  /** One for each family; their rulesets are the same objects until the table changes, so that replays are recognised. */
  get virtualIps(): readonly VirtualIps[] {
    return this.#virtualIps;
  }

  /** Who may open connections to a container, none when everybody may; the same objects until the table changes. */
  policiesOf({ address, link }: Attachment): readonly Ruleset[] {
    if (!this.#isRestricted) return NO_POLICY;
    const key = `${address} ${link}`;
    const known = this.#policies.get(key);
    if (known) return known;
    const task = { address: addressWithoutPrefix(address), link };
    const made = this.#families.flatMap((family) => policyRuleset(this.#table, task, family) ?? []);
    this.#policies.set(key, made);
    return made;
  }

  /** The mesh is there for every host, also for one whose kernel has no IPv6. */
  #usable(told: NetworkTable): NetworkTable {
    return this.#hasIpv6 || !told.ingress ? told : withoutIpv6(told);
  }

  #prepare(): void {
    ensureSysctls(this.namespace, WITHOUT_FILTER);
    if (!this.#families.includes(IPV6)) {
      ensureSysctls(this.namespace, WITHOUT_IPV6);
      return;
    }
    if (!this.#hasIpv6) {
      const { name } = this.#table;
      const text = `network ${name} has IPv6 addresses, and the kernel of this node was started without IPv6`;
      throw new ClusterError('not-implemented', text);
    }
    ensureSysctls(this.namespace, WITH_IPV6);
  }

  /** One for each family, only of the ingress network; the same objects until the table changes. */
  get returnPaths(): readonly Ruleset[] {
    return this.#returns;
  }

  /** Takes the next table over; undefined when it is the same. The kernel is not told yet. */
  update(told: NetworkTable): TableChange | undefined {
    if (told === this.#told && !this.#doubtful) return undefined;
    const headChanged = !isSameHead(this.#told, told);
    this.#told = told;
    const table = this.#usable(told);
    const changes = this.#memory.update(table.endpoints);
    const touched = servicesOf(changes);
    const sameServices = isSameServices(this.#table.services, table.services);
    const [before, doubtful] = [this.#table, this.#doubtful];
    this.#table = sameServices ? { ...table, services: before.services } : table;
    if (!headChanged && sameServices && changes.length === 0 && !doubtful) return undefined;
    this.#doubtful = false;
    this.#directory = undefined;
    this.#policies.clear();
    if (!sameServices) this.#isRestricted = isRestricted(table);
    for (const virtualIps of this.#virtualIps) {
      virtualIps.update(this.#table.services, this.#memory.backends, touched);
    }
    this.#returns = table.ingress ? ingressReturnRulesets(table) : [];
    const moved = doubtful || headChanged || changes.some(isMove);
    const alone = !doubtful && !headChanged && !table.ingress;
    return {
      ...this.#left(changes),
      moved,
      touched: sameServices && !doubtful ? touched : undefined,
      endpoints: alone ? changes : undefined,
    };
  }

  /** Addresses that take no connections any more, and those that nobody holds any more. */
  #left(changes: readonly EndpointChange[]): Pick<TableChange, 'removed' | 'gone'> {
    const before = changes.flatMap((change) => change.before ?? []);
    const gone = new Set(before.flatMap(({ addresses }) => addresses));
    const removed = new Set(before.filter(inService).flatMap(({ addresses }) => addresses));
    if (gone.size === 0) return { removed, gone };
    for (const address of [...gone]) {
      const holders = this.#memory.holdersOf(address);
      if (holders.length > 0) gone.delete(address);
      if (holders.some(inService)) removed.delete(address);
    }
    return { removed, gone };
  }

  /** Somebody holds the address, and takes no connections at it. */
  isOut(address: string): boolean {
    const holders = this.#memory.holdersOf(address);
    return holders.length > 0 && !holders.some(inService);
  }

  /** The kernel refused a part: whatever comes next counts as changed. */
  forget(): void {
    this.#doubtful = true;
  }

  reconcile(context: HubContext, onPortFailure: PortFailure): number {
    return reconcile(this.namespace, desiredHub(this.#table, context), onPortFailure);
  }

  /** Whether anything but the static entries of other hosts' addresses is not as it should be; cheap on any network. */
  linksDiffer(context: HubContext): boolean {
    const desired = desiredHub({ ...this.#table, endpoints: [] }, context);
    const links = { ...desired, neighbours: [], fdb: [] };
    return planNamespace(links, this.namespace.observe('links')).length > 0;
  }

  /** Where the kernel is not as the table says. */
  differences(context: HubContext): readonly string[] {
    return differences(this.namespace, desiredHub(this.#table, context));
  }

  /**
   * Moves the static entries of changed endpoints; its cost does not grow with the network. All is read and reconciled
   * when a container of this host is concerned, or when the kernel does not hold what it was told.
   */
  shift(
    context: HubContext,
    { endpoints: changes }: TableChange,
    onPortFailure: PortFailure,
  ): void {
    if (!changes) {
      this.reconcile(context, onPortFailure);
      return;
    }
    const before = changes.flatMap((change) => change.before ?? []);
    const sides = [...before, ...changes.flatMap((change) => change.after ?? [])];
    const addresses = new Set(sides.flatMap((endpoint) => endpoint.addresses));
    const here = context.sandboxes.flatMap(({ attachments }) => attachments);
    if (here.some(({ address }) => addresses.has(addressWithoutPrefix(address)))) {
      this.reconcile(context, onPortFailure);
      return;
    }
    const holders = [...addresses].flatMap((address) => this.#memory.holdersOf(address));
    const after = [...new Set(holders)].toSorted((left, right) =>
      compareText(left.taskId, right.taskId),
    );
    const operations = planWays(
      waysTo(this.#table, context, before),
      waysTo(this.#table, context, after),
    );
    try {
      this.namespace.apply(operations);
    } catch {
      this.reconcile(context, onPortFailure);
    }
  }

  /** Plugs the context's containers in; its cost does not grow with the network. */
  plug(context: HubContext): void {
    const desired = desiredHub(this.#table, context);
    const fdb = desired.fdb.filter(({ link }) => link !== TUNNEL);
    addLinks(this.namespace, { ...desired, fdb, neighbours: [] });
  }

  setChecksumOffload(on: boolean): void {
    this.namespace.apply([{ do: 'set-checksum-offload', name: TUNNEL, on }]);
  }

  close(): void {
    this.namespace[Symbol.dispose]();
  }

  /** Bridge, tunnel and entries go with the namespace. */
  remove(): void {
    this.close();
    this.#kernel.removeNamespace(this.#pin);
  }
}

/** Closes and removes those that are not to be kept. */
export function removeOverlays(
  overlays: Map<string, Overlay>,
  keep: ReadonlySet<string>,
): readonly Overlay[] {
  const unwanted = [...overlays].filter(([networkId]) => !keep.has(networkId));
  for (const [networkId, overlay] of unwanted) {
    overlay.remove();
    overlays.delete(networkId);
  }
  return unwanted.map(([, overlay]) => overlay);
}

/** What is left of the underlay's MTU inside a tunnel between hosts with such addresses, unless the network was given one. */
export function overlayMtu(
  { mtu, encryption }: NetworkTable,
  underlay: { readonly address: string; readonly mtu: number },
): number {
  const header = VXLAN_OVERHEAD + (isIpv6(underlay.address) ? IPV6_OVERHEAD : 0);
  return mtu ?? underlay.mtu - header - (encryption ? ESP_OVERHEAD : 0);
}

/** Whether static entries differ after it. */
function isMove({ before, after }: EndpointChange): boolean {
  if (!before || !after) return true;
  return before.nodeId !== after.nodeId || !isSameList(before.addresses, after.addresses);
}

function isRestricted({ services }: NetworkTable): boolean {
  return services.some(({ allowFrom }) => allowFrom !== undefined);
}

function servicesOf(changes: readonly EndpointChange[]): ReadonlySet<string> {
  const sides = changes.flatMap(({ before, after }) => [before, after]);
  return new Set(sides.flatMap((endpoint) => endpoint?.serviceId ?? []));
}

function isSameServices(left: NetworkTable['services'], right: NetworkTable['services']): boolean {
  return left === right || JSON.stringify(left) === JSON.stringify(right);
}
