import {
  EventSocket,
  identifyNamespace,
  type KernelEvent,
  type NetlinkSocket,
  type NetworkNamespace,
} from 'vxlan-netlink';
import { TABLE_PREFIX } from '../name.ts';
import { type Change, EVERY_CHANGE, type Namespace, type Watch } from './kernel.ts';
import type { LinkRemoval } from './link-removal.ts';

/** `rtm_protocol` of the routes that we and administrators make; others are the kernel's and routing daemons'. */
const RTPROT_STATIC = 4;

/** What the watch needs to know of a namespace. */
export interface Watched extends Namespace {
  readonly handle: NetworkNamespace;
  /** Called around every change of ours. */
  surround: ((work: () => void) => void) | undefined;
  readonly removal: LinkRemoval;
}

/**
 * Listens from the host's namespace for all that were added. What we change we change synchronously, and do not listen
 * meanwhile; what somebody else does in that moment the next full audit finds. Of links that we are taking away nothing
 * is news.
 */
export class LinuxWatch implements Watch {
  readonly #host: Watched;
  readonly #sockets: readonly [EventSocket, EventSocket];
  /** To ask for identifiers. */
  readonly #route: NetlinkSocket;
  readonly #byId = new Map<number | undefined, Watched>();
  #changed = new Map<Namespace, Set<Change>>();

  constructor(host: Watched, route: NetlinkSocket) {
    this.#host = host;
    this.#route = route;
    const open = (source: 'route' | 'nftables'): EventSocket =>
      host.handle.run(() => EventSocket.open(source));
    this.#sockets = [open('route'), open('nftables')];
    this.add(host);
  }

  add(namespace: Watched): void {
    const id =
      namespace === this.#host ? undefined : identifyNamespace(this.#route, namespace.handle);
    // Whoever had the number before is gone.
    this.#byId.set(id, namespace);
    namespace.surround = (work): void => {
      const [first, second] = this.#sockets;
      first.deafTo(() => second.deafTo(work));
    };
  }

  remove(namespace: Namespace): void {
    this.#changed.delete(namespace);
    for (const [id, known] of this.#byId) if (known === namespace) this.#byId.delete(id);
  }

  takeChanges(): ReadonlyMap<Namespace, ReadonlySet<Change>> {
    this.#read();
    const changed = this.#changed;
    if (changed.size > 0) this.#changed = new Map();
    return changed;
  }

  [Symbol.dispose](): void {
    for (const socket of [...this.#sockets, this.#route]) socket[Symbol.dispose]();
    for (const namespace of this.#byId.values()) namespace.surround = undefined;
  }

  /** What did not fit the queue may have been anything. */
  #read(): void {
    for (const socket of this.#sockets) {
      if (socket.read((event) => this.#note(event))) continue;
      for (const namespace of this.#byId.values())
        this.#changed.set(namespace, new Set(EVERY_CHANGE));
    }
    for (const { removal } of this.#byId.values()) removal.newsRead();
  }

  #note(event: KernelEvent): void {
    const namespace = this.#byId.get(event.namespaceId);
    const change = changeOf(event);
    if (namespace === undefined || change === undefined) return;
    if ('link' in event && namespace.removal.mayTellOf(event.link)) return;
    const changes = this.#changed.get(namespace) ?? new Set();
    this.#changed.set(namespace, changes.add(change));
  }
}

/** Undefined: none of our business. */
function changeOf(event: KernelEvent): Change | undefined {
  switch (event.kind) {
    case 'nftables':
      return event.table.startsWith(TABLE_PREFIX) ? 'tables' : undefined;
    case 'route':
      return event.protocol === RTPROT_STATIC ? 'links' : undefined;
    case 'neighbour':
      return 'entries';
    default:
      return 'links';
  }
}
