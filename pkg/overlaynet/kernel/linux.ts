import { readFileSync, writeFileSync } from 'node:fs';
import {
  type Command,
  type Connection,
  type ConnectionsWanted,
  ConnectProbe,
  changeBridgePort,
  changeLink,
  createNamespace,
  deleteAddress,
  deleteConnection,
  deleteConnections,
  deleteFdbEntry,
  deleteLink,
  deleteNeighbour,
  deleteRoute,
  deleteRule,
  digestTable,
  dumpAddresses,
  dumpFdb,
  dumpLinks,
  dumpNeighbours,
  dumpRoutes,
  dumpRules,
  encodeTransaction,
  findConnections,
  generationIn,
  hasCode,
  type Route as LinkRoute,
  listMembers,
  listTable,
  listTables,
  type Message,
  NetlinkSocket,
  NetworkNamespace,
  newAddress,
  newLink,
  newRoute,
  newRule,
  openBoundSocket,
  PingSocket,
  packetsPassed,
  parseAddress,
  parseFdbEntry,
  parseLink,
  parseNeighbour,
  parseRoute,
  parseRule,
  putFdbEntry,
  putNeighbour,
  readGeneration,
  readNamespaceCookie,
  removeNamespace,
  setChecksumOffload,
  type TableListing,
  type TrackedConnection,
} from 'vxlan-netlink';
import { assert, must } from '../../model/index.ts';
import { linuxConnectHooks } from './connect-hooks.ts';
import type {
  DesiredLink,
  Kernel,
  Namespace,
  ObservedNamespace,
  Operation,
  Ping,
  Route,
} from './kernel.ts';
import { LinkRemoval } from './link-removal.ts';
import { LinuxWatch, type Watched } from './linux-watch.ts';
import { linuxSecurity } from './security.ts';

const RTPROT_STATIC = 4;
const RTN_UNICAST = 1;
/** A transaction is encoded once and replayed into every namespace that gets the same commands. */
const encoded = new WeakMap<readonly Command[], Buffer>();

export const linuxKernel: Kernel = {
  createNamespace,
  removeNamespace,
  open: (path) => new LinuxNamespace(NetworkNamespace.open(path)),
  watch: (host) => new LinuxWatch(linux(host), linux(host).route()),
  connectHooks: linuxConnectHooks,
  packetsPassed,
};

class LinuxNamespace implements Watched {
  readonly handle: NetworkNamespace;
  surround: Watched['surround'];
  readonly security = linuxSecurity(() => this.handle.run(() => NetlinkSocket.open('xfrm')));
  readonly removal = new LinkRemoval(() => this.route());
  #netfilter: NetlinkSocket | undefined;

  constructor(namespace: NetworkNamespace) {
    this.handle = namespace;
  }

  get fd(): number {
    return this.handle.fd;
  }

  /** A fresh rtnetlink socket of this namespace; 11 µs, so none is kept. */
  route(): NetlinkSocket {
    return this.handle.run(() => NetlinkSocket.open('route'));
  }

  observe(tables: 'all' | 'links' = 'all'): ObservedNamespace {
    using socket = this.route();
    const stays = ({ link }: { readonly link?: number | undefined }): boolean =>
      link === undefined || !this.removal.isLeaving(link);
    const links = socket
      .dump(dumpLinks())
      .map(parseLink)
      .filter(({ index }) => stays({ link: index }));
    const names = new Map(links.map((link) => [link.index, link.name]));
    const nameOf = (index: number | undefined): string => names.get(index ?? 0) ?? '';
    return {
      links: links.map((link) => ({ ...link, master: nameOf(link.master) })),
      addresses: socket
        .dump(dumpAddresses())
        .map(parseAddress)
        .filter(stays)
        .map(({ link, address }) => ({ link: nameOf(link), address })),
      routes: socket
        .dump(dumpRoutes())
        .map(parseRoute)
        .filter(stays)
        .filter(
          ({ protocol, type, local }) =>
            protocol === RTPROT_STATIC && (type === RTN_UNICAST || local),
        )
        .map(({ destination, gateway, link, table, onLink, local }) => ({
          destination,
          gateway,
          link: nameOf(link),
          table,
          onLink: onLink === true,
          ...(local && { local }),
        })),
      rules: socket
        .dump(dumpRules())
        .flatMap((body) => parseRule(body) ?? [])
        .filter((rule) => rule.mark !== 0),
      neighbours: (tables === 'all' ? socket.dump(dumpNeighbours()) : [])
        .map(parseNeighbour)
        .filter((entry) => entry.permanent && stays(entry))
        .map(({ link, address, mac }) => ({ link: nameOf(link), address, mac })),
      fdb: (tables === 'all' ? socket.dump(dumpFdb()) : [])
        .map(parseFdbEntry)
        .filter((entry) => entry.fixed && stays(entry))
        .map(({ link, mac, tunnel }) => ({ link: nameOf(link), mac, tunnel })),
    };
  }

  apply(operations: readonly Operation[]): void {
    if (operations.length > 0) this.#change(() => this.#applyAll(operations));
  }

  #applyAll(operations: readonly Operation[]): void {
    using socket = this.route();
    const indexes = new Map<string, number>();
    const indexOf = (name: string): number => {
      const known = indexes.get(name);
      if (known !== undefined) return known;
      const index = socket.linkIndex(name);
      indexes.set(name, index);
      return index;
    };
    // Tables are filled with many messages per system call.
    let waiting: Message[] = [];
    for (const operation of operations) {
      if (operation.do === 'put-neighbour' || operation.do === 'put-fdb') {
        waiting.push(encodeOperation(operation, indexOf));
        continue;
      }
      socket.batch(waiting);
      waiting = [];
      this.#applyOne(socket, operation, indexOf);
      if (operation.do === 'delete-link') indexes.delete(operation.name);
    }
    socket.batch(waiting);
  }

  removeLinks(names: readonly string[]): Promise<void> {
    let removed: Promise<void> | undefined;
    this.#change(() => {
      removed = this.removal.begin(names);
    });
    return must(removed, 'a removal begun');
  }

  cookie(): string {
    return this.handle.run(readNamespaceCookie);
  }

  readSysctl(key: string): string | undefined {
    return this.handle.run(() => {
      try {
        return readFileSync(`/proc/sys/${key}`, 'utf8').trim();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    });
  }

  writeSysctl(key: string, value: string): void {
    this.handle.run(() => writeFileSync(`/proc/sys/${key}`, value));
  }

  commit(commands: readonly Command[]): number {
    if (commands.length === 0) return this.generation();
    const bytes = encoded.get(commands) ?? encodeTransaction(commands);
    encoded.set(commands, bytes);
    let generation: number | undefined;
    this.#change(() => {
      generation = generationIn(this.#nftables().transact(bytes));
    });
    return generation ?? this.generation();
  }

  generation(): number {
    return readGeneration(this.#nftables());
  }

  tables(): readonly string[] {
    return listTables(this.#nftables());
  }

  listTable(table: string): TableListing | undefined {
    return listTable(this.#nftables(), table);
  }

  setMembers(table: string, set: string): readonly string[] {
    return listMembers(this.#nftables(), table, set);
  }

  digestTable(table: string): string | undefined {
    return digestTable(this.#nftables(), table);
  }

  openSocket(
    protocol: 'tcp' | 'udp',
    address: string,
    port: number,
  ): { readonly fd: number; readonly port: number } {
    return this.handle.run(() => openBoundSocket(protocol, address, port));
  }

  ping(address: string, packetBytes?: number): Ping {
    return this.handle.run(() => PingSocket.send(address, packetBytes));
  }

  connectTo(address: string, port: number): Ping {
    return this.handle.run(() => ConnectProbe.send(address, port));
  }

  connections(wanted?: ConnectionsWanted): readonly TrackedConnection[] {
    // Asking needs a module that a new namespace, where nothing is tracked, does without.
    if (this.readSysctl('net/netfilter/nf_conntrack_count') === '0') return [];
    return findConnections(this.#nftables(), wanted);
  }

  forgetConnection(tracked: TrackedConnection, keep: (connection: Connection) => boolean): boolean {
    return deleteConnection(this.#nftables(), tracked, keep);
  }

  forgetConnections(tracked: readonly TrackedConnection[]): void {
    deleteConnections(this.#nftables(), tracked);
  }

  [Symbol.dispose](): void {
    this.#netfilter?.[Symbol.dispose]();
    this.#netfilter = undefined;
    this.handle[Symbol.dispose]();
  }

  #change(work: () => void): void {
    if (this.surround === undefined) work();
    else this.surround(work);
  }

  #applyOne(socket: NetlinkSocket, operation: Operation, indexOf: (name: string) => number): void {
    if (operation.do === 'add-link') {
      this.#addLink(socket, operation.link);
      return;
    }
    if (operation.do === 'set-checksum-offload') {
      this.#setChecksumOffload(operation.name, operation.on);
      return;
    }
    try {
      socket.request(encodeOperation(operation, indexOf));
    } catch (error) {
      // Taking away what is gone already, for instance a veth whose other end was deleted a moment ago.
      const gone = hasCode(error, 'ENODEV', 'ENOENT', 'ESRCH', 'EADDRNOTAVAIL');
      if (!(operation.do.startsWith('delete-') && gone)) throw error;
    }
  }

  #addLink(socket: NetlinkSocket, link: DesiredLink): void {
    const { name, mtu, mac } = link;
    if (link.kind === 'veth') {
      const { namespace, ...peer } = link.peer;
      const namespaceFd = linux(namespace).fd;
      socket.request(newLink({ kind: 'veth', name, mtu, mac, peer: { ...peer, namespaceFd } }));
    } else if (link.kind === 'vxlan') {
      // Made from the underlay's side: the tunnel's UDP socket stays there, the device is born here.
      const { kind, vni, local, port } = link;
      using underlay = linux(link.underlay).route();
      underlay.request(newLink({ kind, name, mtu, mac, vni, local, port, namespaceFd: this.fd }));
      if (link.checksumOffload === false) this.#setChecksumOffload(name, false);
    } else if (link.kind === 'macvlan') {
      using underlay = linux(link.underlay).route();
      const parent = underlay.linkIndex(link.parent);
      underlay.request(newLink({ kind: 'macvlan', name, mtu, mac, parent, namespaceFd: this.fd }));
    } else {
      socket.request(newLink({ kind: 'bridge', name, mtu, mac }));
    }
  }

  #setChecksumOffload(link: string, on: boolean): void {
    this.handle.run(() => setChecksumOffload(link, on));
  }

  /**
   * Kept open: closing an nfnetlink socket waits for the kernel to free what the last transaction removed, an RCU grace
   * period of 10 ms on 6.18.
   */
  #nftables(): NetlinkSocket {
    this.#netfilter ??= this.handle.run(() => NetlinkSocket.open('netfilter'));
    return this.#netfilter;
  }
}

function linux(namespace: Namespace): LinuxNamespace {
  assert(namespace instanceof LinuxNamespace, 'a namespace of the same kernel');
  return namespace;
}

function withIndex(route: Route, indexOf: (name: string) => number): LinkRoute {
  return { ...route, link: indexOf(route.link) };
}

function encodeOperation(
  operation: Exclude<Operation, { do: 'add-link' | 'set-checksum-offload' }>,
  indexOf: (name: string) => number,
): Message {
  switch (operation.do) {
    case 'delete-link':
      return deleteLink(indexOf(operation.name));
    case 'change-link': {
      const { name, master, ...change } = operation;
      const bridge = master === undefined ? undefined : indexOf(master);
      return changeLink(indexOf(name), { ...change, master: bridge });
    }
    case 'change-port':
      return changeBridgePort(indexOf(operation.name), operation);
    case 'add-address':
    case 'delete-address': {
      const address = { ...operation.address, link: indexOf(operation.address.link) };
      return operation.do === 'add-address' ? newAddress(address) : deleteAddress(address);
    }
    case 'add-route':
      return newRoute(withIndex(operation.route, indexOf));
    case 'delete-route':
      return deleteRoute(withIndex(operation.route, indexOf));
    case 'add-rule':
      return newRule(operation.rule);
    case 'delete-rule':
      return deleteRule(operation.rule);
    case 'put-neighbour':
    case 'delete-neighbour': {
      const neighbour = { ...operation.neighbour, link: indexOf(operation.neighbour.link) };
      return operation.do === 'put-neighbour'
        ? putNeighbour(neighbour)
        : deleteNeighbour(neighbour);
    }
    case 'put-fdb':
    case 'delete-fdb': {
      const entry = { ...operation.entry, link: indexOf(operation.entry.link) };
      return operation.do === 'put-fdb' ? putFdbEntry(entry) : deleteFdbEntry(entry);
    }
  }
}
