import type { NetworkTable } from '../model/index.ts';
import { desiredHub, type HubContext } from './desired.ts';
import { type Directory, directoryOfTable } from './directory.ts';
import { ingressReturnRuleset } from './ingress.ts';
import type { Kernel, Namespace } from './kernel/kernel.ts';
import { TUNNEL } from './name.ts';
import { pinOf } from './pin.ts';
import { addLinks, ensureSysctls, type PortFailure, reconcile } from './reconcile.ts';
import type { Ruleset } from './ruleset.ts';
import { inService, virtualIpRuleset } from './vip.ts';

/** IPv6 and its neighbour discovery have no business on a bridge that never carries it. */
const HUB_SYSCTLS = {
  'net/ipv6/conf/all/disable_ipv6': '1',
  'net/ipv6/conf/default/disable_ipv6': '1',
} as const;

export interface TableChange {
  /** Addresses that took connections before and do not any more. */
  readonly removed: ReadonlySet<string>;
  /** Addresses that nobody holds any more. */
  readonly gone: ReadonlySet<string>;
  /** Whether any address came, went or changed its node, so that the hub's static entries differ. */
  readonly moved: boolean;
}

/** One overlay network on this host: its hidden namespace and everything derived from its table. */
export class Overlay {
  readonly #kernel: Kernel;
  readonly #pin: string;
  readonly #namespace: Namespace;
  #table: NetworkTable;
  #text: string;
  #directory: Directory;
  #virtualIps: Ruleset;
  #return: Ruleset | undefined;

  constructor(kernel: Kernel, runDir: string, table: NetworkTable) {
    this.#kernel = kernel;
    this.#pin = pinOf(runDir, table.networkId);
    kernel.createNamespace(this.#pin);
    this.#namespace = kernel.open(this.#pin);
    ensureSysctls(this.#namespace, HUB_SYSCTLS);
    this.#table = table;
    this.#text = textOf(table);
    this.#directory = directoryOfTable(table);
    this.#virtualIps = virtualIpRuleset(table);
    this.#return = table.ingress ? ingressReturnRuleset(table) : undefined;
  }

  get table(): NetworkTable {
    return this.#table;
  }

  get directory(): Directory {
    return this.#directory;
  }

  /** The same object until the table changes, so that replays are recognised. */
  get virtualIps(): Ruleset {
    return this.#virtualIps;
  }

  /** Only of the ingress network. */
  get returnPath(): Ruleset | undefined {
    return this.#return;
  }

  /** Takes the next table over; undefined when it is the same. The kernel is not told yet. */
  update(table: NetworkTable): TableChange | undefined {
    const text = textOf(table);
    if (text === this.#text) return undefined;
    const removed = serving(this.#table);
    const gone = held(this.#table);
    const moved = this.#text === '' || waysOf(this.#table) !== waysOf(table);
    this.#table = table;
    this.#text = text;
    this.#directory = directoryOfTable(table);
    this.#virtualIps = virtualIpRuleset(table);
    this.#return = table.ingress ? ingressReturnRuleset(table) : undefined;
    for (const address of serving(table)) removed.delete(address);
    for (const address of held(table)) gone.delete(address);
    return { removed, gone, moved };
  }

  /** The kernel refused a part: whatever comes next counts as changed. */
  forget(): void {
    this.#text = '';
  }

  reconcile(context: HubContext, onPortFailure: PortFailure): number {
    return reconcile(this.#namespace, desiredHub(this.#table, context), onPortFailure);
  }

  /** Plugs the context's containers in; its cost does not grow with the network. */
  plug(context: HubContext): void {
    const desired = desiredHub(this.#table, context);
    const fdb = desired.fdb.filter(({ link }) => link !== TUNNEL);
    addLinks(this.#namespace, { ...desired, fdb, neighbours: [] });
  }

  unplug(port: string): void {
    this.#namespace.apply([{ do: 'delete-link', name: port }]);
  }

  close(): void {
    this.#namespace[Symbol.dispose]();
  }

  /** Bridge, tunnel and entries go with the namespace. */
  remove(): void {
    this.close();
    this.#kernel.removeNamespace(this.#pin);
  }
}

/** The revision grows with every change of the store, mostly of other things. */
function textOf({ revision: _, ...content }: NetworkTable): string {
  return JSON.stringify(content);
}

function waysOf({ endpoints, services: _, revision: __, ...rest }: NetworkTable): string {
  const holders = endpoints.map(({ nodeId, addresses }) => [nodeId, addresses]);
  return JSON.stringify([rest, holders]);
}

function held(table: NetworkTable): Set<string> {
  return new Set(table.endpoints.flatMap((endpoint) => endpoint.addresses));
}

function serving(table: NetworkTable): Set<string> {
  return new Set(table.endpoints.filter(inService).flatMap((endpoint) => endpoint.addresses));
}
