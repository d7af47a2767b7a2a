import type { Logger } from '../io/index.ts';
import type { NetworkTable } from '../model/index.ts';
import type { Namespace } from './kernel/kernel.ts';
import { overlayMtu } from './overlay.ts';
import { probePathMtu } from './path-mtu.ts';

const PROBES_AT_ONCE = 8;
/** When a path is looked at again: routes change, and whoever was silent may have been down. */
const AGAIN_AFTER_MS = 600_000;
const SILENT_AGAIN_AFTER_MS = 60_000;

interface Path {
  /** Undefined while nobody knows. */
  readonly mtu: number | undefined;
  readonly askedAt: number;
}

/**
 * The network between the hosts: how large a packet may be on its way to every other. Overlays use what the narrowest
 * path leaves, since packets that are too large get lost there without a word.
 */
export class Underlay {
  readonly #namespace: Namespace;
  readonly #log: Logger;
  readonly #onChange: () => void;
  readonly #paths = new Map<string, Path>();
  readonly #waiting = new Set<string>();
  #tables: readonly NetworkTable[] = [];
  readonly #abort = new AbortController();
  #running = 0;
  #linkMtu: number;

  /** @param narrow paths that an earlier agent found to be narrow: in force until they are looked at again */
  constructor(options: {
    readonly namespace: Namespace;
    readonly linkMtu: number;
    readonly narrow: Readonly<Record<string, number>>;
    readonly log: Logger;
    readonly onChange: () => void;
  }) {
    this.#namespace = options.namespace;
    this.#linkMtu = options.linkMtu;
    this.#log = options.log;
    this.#onChange = options.onChange;
    for (const [peer, mtu] of Object.entries(options.narrow)) {
      this.#paths.set(peer, { mtu, askedAt: Number.NEGATIVE_INFINITY });
    }
  }

  /** Of the link that holds this host's address. */
  get linkMtu(): number {
    return this.#linkMtu;
  }

  /** The host got another address: what was known of paths was known of other ones. */
  moveTo(linkMtu: number): void {
    this.#linkMtu = linkMtu;
    this.#paths.clear();
  }

  /** Of an overlay's links. */
  mtuOf(table: NetworkTable): number {
    return overlayMtu(table, this.#mtu);
  }

  /** What every path takes. */
  get #mtu(): number {
    return Math.min(
      this.#linkMtu,
      ...[...this.#paths.values()].map(({ mtu }) => mtu ?? this.#linkMtu),
    );
  }

  /** Paths that take less than the link, by the address of the other host. */
  get narrow(): Readonly<Record<string, number>> {
    const found = [...this.#paths].flatMap(([peer, { mtu }]): [string, number][] =>
      mtu !== undefined && mtu < this.#linkMtu ? [[peer, mtu]] : [],
    );
    return Object.fromEntries(found.toSorted());
  }

  /** Looks at the paths to the peers of the tables, in the background: new ones now, others when it is time again. */
  follow(tables: readonly NetworkTable[], ownAddress: string): void {
    this.#tables = tables;
    const peers = new Set(tables.flatMap((table) => table.peers.map(({ address }) => address)));
    peers.delete(ownAddress);
    const before = this.#mtu;
    for (const peer of this.#paths.keys()) if (!peers.has(peer)) this.#paths.delete(peer);
    for (const peer of peers) if (this.#isDue(peer)) this.#waiting.add(peer);
    for (const peer of this.#waiting) {
      if (this.#running >= PROBES_AT_ONCE) break;
      void this.#work(peer);
    }
    if (this.#mtu !== before) this.#onChange();
  }

  close(): void {
    this.#abort.abort();
  }

  #isDue(peer: string): boolean {
    const path = this.#paths.get(peer);
    if (path === undefined) return true;
    const rest = path.mtu === undefined ? SILENT_AGAIN_AFTER_MS : AGAIN_AFTER_MS;
    return performance.now() - path.askedAt > rest;
  }

  /** Never rejects. */
  async #work(first: string): Promise<void> {
    this.#running++;
    try {
      for (let peer: string | undefined = first; peer !== undefined; [peer] = this.#waiting) {
        this.#waiting.delete(peer);
        this.#paths.set(peer, { mtu: this.#paths.get(peer)?.mtu, askedAt: performance.now() });
        await this.#look(peer);
      }
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#log.warn('paths between hosts not probed', { error });
    } finally {
      this.#running--;
    }
  }

  async #look(peer: string): Promise<void> {
    const linkMtu = this.#linkMtu;
    const mtu = await probePathMtu(this.#namespace, peer, linkMtu, this.#abort.signal);
    const path = this.#paths.get(peer);
    // Silence takes nothing back; a peer that left or another address of ours does.
    if (mtu === undefined || path === undefined || linkMtu !== this.#linkMtu) return;
    const before = this.#mtu;
    this.#paths.set(peer, { ...path, mtu });
    if (mtu !== (path.mtu ?? linkMtu)) this.#say(peer, mtu);
    if (this.#mtu === before) return;
    this.#sayWhatDoesNotFit();
    this.#onChange();
  }

  #say(peer: string, pathMtu: number): void {
    const linkMtu = this.#linkMtu;
    if (pathMtu === linkMtu)
      this.#log.info('path to a host is as wide as the link', { peer, linkMtu });
    else {
      const said = 'path to a host is narrower than the link; overlay networks use smaller packets';
      this.#log.warn(said, { peer, pathMtu, linkMtu });
    }
  }

  /** Networks that were given an MTU of their own: nobody but their owner can help. */
  #sayWhatDoesNotFit(): void {
    for (const table of this.#tables) {
      const fitting = this.mtuOf({ ...table, mtu: undefined });
      if (table.mtu === undefined || table.mtu <= fitting) continue;
      const said =
        'the MTU that a network asks for does not fit between the hosts; make it anew with less';
      this.#log.warn(said, { network: table.name, mtu: table.mtu, fitting });
    }
  }
}
