import { createHash } from 'node:crypto';
import type {
  Command,
  MarkRule,
  SecurityAssociation,
  SecurityPolicy,
  SetElement,
  TableListing,
  TrackedConnection,
} from 'vxlan-netlink';
import { assert } from '../../model/index.ts';
import { FakeConnectHooks } from './fake-connect-hooks.ts';
import type {
  Change,
  DesiredLink,
  FdbEntry,
  Kernel,
  LinkAddress,
  Namespace,
  Neighbour,
  ObservedLink,
  ObservedNamespace,
  Operation,
  Ping,
  Route,
  Watch,
} from './kernel.ts';
import type { ObservedSecurity, Security, SecurityOperation } from './security.ts';

/** A refusal in the kernel's terms, as `SyscallError` carries it. */
class FakeRefusal extends Error {
  override readonly name = 'SyscallError';
  readonly code: string;

  constructor(code: string, detail: string) {
    super(`${code}, ${detail}`);
    this.code = code;
  }
}

interface FakeLink {
  observed: ObservedLink;
  readonly peer?: { readonly namespace: FakeNamespace; readonly name: string } | undefined;
}

interface FakeTable {
  readonly chains: Map<string, (readonly unknown[])[]>;
  readonly sets: Map<string, Map<string, SetElement>>;
}

/** Namespaces in memory that follow the same rules as Linux as far as `contract.ts` asks. */
export class FakeKernel implements Kernel {
  readonly #namespaces = new Map<string, FakeNamespace>();
  #touched = new Map<Namespace, Set<Change>>();

  createNamespace(path: string): boolean {
    if (this.#namespaces.has(path)) return false;
    this.#namespaces.set(path, new FakeNamespace());
    return true;
  }

  removeNamespace(path: string): void {
    this.#namespaces.get(path)?.destroy();
    this.#namespaces.delete(path);
  }

  open(path = ''): Namespace {
    if (path === '') this.createNamespace(path);
    const namespace = this.#namespaces.get(path);
    if (namespace === undefined) throw new FakeRefusal('ENOENT', path);
    return namespace;
  }

  watch(): Watch {
    return {
      add: (): void => undefined,
      remove: (namespace): void => void this.#touched.delete(namespace),
      takeChanges: (): ReadonlyMap<Namespace, ReadonlySet<Change>> => {
        const touched = this.#touched;
        this.#touched = new Map();
        return touched;
      },
      [Symbol.dispose]: (): void => undefined,
    };
  }

  connectHooks(): FakeConnectHooks {
    return new FakeConnectHooks();
  }

  packetsPassed(): Promise<void> {
    return Promise.resolve();
  }

  /** Somebody else changed something. */
  touch(path: string, change: Change): void {
    const namespace = this.open(path);
    const changes = this.#touched.get(namespace) ?? new Set();
    this.#touched.set(namespace, changes.add(change));
  }
}

class FakeSecurity implements Security {
  #associations: readonly SecurityAssociation[] = [];
  #policies: readonly SecurityPolicy[] = [];

  canEncrypt(): boolean {
    return true;
  }

  observe(): ObservedSecurity {
    return { associations: this.#associations, policies: this.#policies };
  }

  apply(operations: readonly SecurityOperation[]): void {
    for (const operation of operations) {
      if ('association' in operation) this.#associate(operation);
      else this.#decide(operation);
    }
  }

  #associate(operation: Extract<SecurityOperation, { association: unknown }>): void {
    const { destination, spi } = operation.association;
    const others = this.#associations.filter(
      (one) => one.destination !== destination || one.spi !== spi,
    );
    if (operation.do === 'delete-association') {
      this.#associations = others;
      return;
    }
    if (others.length < this.#associations.length) throw new FakeRefusal('EEXIST', `spi ${spi}`);
    this.#associations = [...others, operation.association];
  }

  #decide(operation: Extract<SecurityOperation, { policy: unknown }>): void {
    const place = ({ direction, selector }: typeof operation.policy): string =>
      `${direction} ${selector.ipv6} ${selector.source} ${selector.destination} ${selector.destinationPort}`;
    const others = this.#policies.filter((one) => place(one) !== place(operation.policy));
    this.#policies = operation.do === 'put-policy' ? [...others, operation.policy] : others;
  }
}

class FakeNamespace implements Namespace {
  readonly #links = new Map<string, FakeLink>();
  #addresses: readonly LinkAddress[] = [];
  #routes: readonly Route[] = [];
  #rules: readonly MarkRule[] = [];
  #neighbours: readonly Neighbour[] = [];
  #fdb: readonly FdbEntry[] = [];
  readonly #sysctls = new Map([
    ['net/ipv4/ip_forward', '0'],
    ['net/ipv4/conf/all/rp_filter', '0'],
  ]);
  #tables = new Map<string, FakeTable>();
  #generation = 1;
  readonly security = new FakeSecurity();
  static #count = 0;
  readonly #cookie = String(++FakeNamespace.#count);

  constructor() {
    const lo = {
      name: 'lo',
      kind: '',
      up: false,
      mtu: 65536,
      mac: '00:00:00:00:00:00',
      master: '',
    };
    this.#links.set('lo', { observed: lo });
  }

  observe(tables: 'all' | 'links' = 'all'): ObservedNamespace {
    return {
      links: [...this.#links.values()].map(({ observed }) => observed),
      addresses: this.#addresses,
      routes: this.#routes,
      rules: this.#rules,
      neighbours: tables === 'all' ? this.#neighbours : [],
      fdb: tables === 'all' ? this.#fdb : [],
    };
  }

  apply(operations: readonly Operation[]): void {
    for (const operation of operations) this.#applyOne(operation);
  }

  async removeLinks(names: readonly string[]): Promise<void> {
    for (const name of names) this.#deleteLink(name);
  }

  cookie(): string {
    return this.#cookie;
  }

  readSysctl(key: string): string | undefined {
    return this.#sysctls.get(key);
  }

  writeSysctl(key: string, value: string): void {
    if (!this.#sysctls.has(key)) throw new FakeRefusal('ENOENT', key);
    this.#sysctls.set(key, value);
  }

  commit(commands: readonly Command[]): number {
    const next = new Map([...this.#tables].map(([name, table]) => [name, copyOf(table)]));
    for (const command of commands) applyCommand(next, command);
    this.#tables = next;
    return ++this.#generation;
  }

  generation(): number {
    return this.#generation;
  }

  tables(): readonly string[] {
    return [...this.#tables.keys()];
  }

  listTable(name: string): TableListing | undefined {
    const table = this.#tables.get(name);
    if (table === undefined) return undefined;
    const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex');
    const sets = [...table.sets].map(([set, elements]) => {
      const members = [...elements.values()].map(({ key, value, verdict }) => ({
        key: hex(key),
        value: hex(value),
        chain: verdict !== undefined && 'chain' in verdict ? verdict.chain : '',
      }));
      return [set, members] as const;
    });
    return {
      chains: [...table.chains.keys()],
      ruleCounts: new Map([...table.chains].map(([chain, rules]) => [chain, rules.length])),
      sets: new Map(sets),
      digest: createHash('sha256')
        .update(JSON.stringify([[...table.chains], [...table.sets.keys()]]))
        .digest('hex'),
    };
  }

  setMembers(table: string, set: string): readonly string[] {
    return [...(this.#tables.get(table)?.sets.get(set)?.keys() ?? [])].sort();
  }

  digestTable(name: string): string | undefined {
    return this.listTable(name)?.digest;
  }

  openSocket(): never {
    throw new FakeRefusal('EOPNOTSUPP', 'there are no sockets in memory');
  }

  ping(): Ping {
    return { answer: (): string => 'answered', [Symbol.dispose]: (): void => undefined };
  }

  connectTo(): Ping {
    return this.ping();
  }

  connections(): readonly TrackedConnection[] {
    return [];
  }

  forgetConnection(): boolean {
    return true;
  }

  forgetConnections(): void {
    // Nothing is tracked in memory.
  }

  [Symbol.dispose](): void {
    // Handles share the namespace.
  }

  /** The namespace ends: its links go, and with them the other ends. */
  destroy(): void {
    for (const name of [...this.#links.keys()]) this.#deleteLink(name);
  }

  #applyOne(operation: Operation): void {
    switch (operation.do) {
      case 'add-link':
        this.#addLink(operation.link);
        return;
      case 'delete-link':
        this.#deleteLink(operation.name);
        return;
      case 'change-link':
        this.#changeLink(operation);
        return;
      case 'set-checksum-offload':
      case 'change-port':
        this.#link(operation.name);
        return;
      case 'add-address':
        this.#link(operation.address.link);
        this.#addresses = [...this.#addresses, operation.address];
        return;
      case 'delete-address':
        this.#addresses = without(this.#addresses, operation.address);
        return;
      case 'add-route':
        this.#link(operation.route.link);
        this.#routes = [...without(this.#routes, operation.route), operation.route];
        return;
      case 'delete-route':
        this.#routes = without(this.#routes, operation.route);
        return;
      case 'add-rule':
        this.#rules = [...this.#rules, operation.rule];
        return;
      case 'delete-rule':
        this.#rules = without(this.#rules, operation.rule);
        return;
      case 'put-neighbour':
        this.#neighbours = [...without(this.#neighbours, operation.neighbour), operation.neighbour];
        return;
      case 'delete-neighbour':
        this.#neighbours = without(this.#neighbours, operation.neighbour);
        return;
      case 'put-fdb':
        this.#fdb = [...without(this.#fdb, operation.entry), operation.entry];
        return;
      case 'delete-fdb':
        this.#fdb = without(this.#fdb, operation.entry);
        return;
    }
  }

  #link(name: string): FakeLink {
    const link = this.#links.get(name);
    if (link === undefined) throw new FakeRefusal('ENODEV', name);
    return link;
  }

  #addLink(link: DesiredLink): void {
    if (this.#links.has(link.name)) throw new FakeRefusal('EEXIST', link.name);
    const observed = observedLink(link);
    if (link.kind !== 'veth') {
      this.#links.set(link.name, { observed });
      return;
    }
    const { namespace, name } = link.peer;
    assert(namespace instanceof FakeNamespace, 'a namespace of the same kernel');
    const other = observedLink({ ...link.peer, kind: 'veth', peer: link.peer });
    this.#links.set(link.name, { observed, peer: { namespace, name } });
    namespace.#links.set(name, { observed: other, peer: { namespace: this, name: link.name } });
  }

  #deleteLink(name: string): void {
    const link = this.#links.get(name);
    if (link === undefined) return;
    this.#links.delete(name);
    this.#addresses = this.#addresses.filter((item) => item.link !== name);
    this.#routes = this.#routes.filter((item) => item.link !== name);
    this.#neighbours = this.#neighbours.filter((item) => item.link !== name);
    this.#fdb = this.#fdb.filter((item) => item.link !== name);
    if (link.peer !== undefined) link.peer.namespace.#deleteLink(link.peer.name);
  }

  #changeLink(change: Extract<Operation, { do: 'change-link' }>): void {
    const link = this.#link(change.name);
    if (change.master !== undefined) this.#link(change.master);
    const { observed } = link;
    link.observed = {
      ...observed,
      up: change.up ?? observed.up,
      mtu: change.mtu ?? observed.mtu,
      mac: change.mac ?? observed.mac,
      master: change.master ?? observed.master,
    };
  }
}

function copyOf({ chains, sets }: FakeTable): FakeTable {
  return {
    chains: new Map([...chains].map(([name, rules]) => [name, [...rules]])),
    sets: new Map([...sets].map(([name, elements]) => [name, new Map(elements)])),
  };
}

function observedLink(link: DesiredLink): ObservedLink {
  return {
    name: link.name,
    kind: link.kind,
    up: false,
    mtu: link.mtu ?? 1500,
    mac: link.mac ?? '02:00:00:00:00:01',
    master: '',
    vxlan:
      link.kind === 'vxlan' ? { vni: link.vni, local: link.local, port: link.port } : undefined,
  };
}

function without<T>(items: readonly T[], item: T): readonly T[] {
  const text = JSON.stringify(item);
  return items.filter((other) => JSON.stringify(other) !== text);
}

function applyCommand(tables: Map<string, FakeTable>, command: Command): void {
  if (command.do === 'add-table') {
    if (!tables.has(command.table))
      tables.set(command.table, { chains: new Map(), sets: new Map() });
    return;
  }
  const table = tables.get(command.table);
  if (table === undefined) throw new FakeRefusal('ENOENT', command.table);
  if (command.do === 'delete-table') tables.delete(command.table);
  else if ('set' in command) applySetCommand(table, command);
  else if ('chain' in command) applyChainCommand(table, command);
}

function applySetCommand(
  table: FakeTable,
  command: Extract<Command, { readonly set: string }>,
): void {
  if (command.do === 'add-set') {
    table.sets.set(command.set, new Map());
    return;
  }
  const elements = table.sets.get(command.set);
  if (elements === undefined) throw new FakeRefusal('ENOENT', command.set);
  if (command.do === 'delete-set') {
    table.sets.delete(command.set);
    return;
  }
  for (const element of command.elements) {
    const key = element.key.toString('hex');
    if (command.do === 'add-elements') elements.set(key, element);
    else if (!elements.delete(key)) throw new FakeRefusal('ENOENT', key);
  }
}

function applyChainCommand(
  table: FakeTable,
  command: Extract<Command, { readonly chain: string }>,
): void {
  if (command.do === 'add-chain') {
    if (!table.chains.has(command.chain)) table.chains.set(command.chain, []);
    return;
  }
  const rules = table.chains.get(command.chain);
  if (rules === undefined) throw new FakeRefusal('ENOENT', command.chain);
  if (command.do === 'delete-chain') table.chains.delete(command.chain);
  else if (command.do === 'flush-chain') rules.length = 0;
  else if ('expressions' in command) rules.push(command.expressions);
}
