import { isIpv6 } from 'vxlan-netlink';
import type { Logger } from '../io/index.ts';
import type { NetworkTable } from '../model/index.ts';
import { type ChecksumVerdict, testChecksums } from './checksum-test.ts';
import type { Namespace } from './kernel/kernel.ts';
import { type Overlay, overlayMtu } from './overlay.ts';
import { probePathMtu } from './path-mtu.ts';
import { peersOf } from './peers.ts';
import { isSameList } from './same-list.ts';

const PROBES_AT_ONCE = 8;
/** When a path is looked at again: routes change, and whoever was silent may have been down. */
const AGAIN_AFTER_MS = 600_000;
const SILENT_AGAIN_AFTER_MS = 60_000;

interface Path {
  /** Undefined while nobody knows. */
  readonly mtu: number | undefined;
  readonly askedAt: number;
  /** Of the tunnel to it. */
  readonly checksums?: ChecksumVerdict;
}

/** What is needed of an overlay here. */
type Tunnelled = Pick<Overlay, 'table' | 'setChecksumOffload'>;

/** What holds for the next agent too. */
export interface UnderlayRecord {
  readonly narrowPaths?: Readonly<Record<string, number>> | undefined;
  readonly checksumOffload?: false | undefined;
}

/**
 * The network between the hosts: how large a packet may be on its way to every other. Overlays use what the narrowest
 * path leaves, since packets that are too large get lost there without a word.
 */
export class Underlay {
  readonly #namespace: Namespace;
  readonly #log: Logger;
  readonly #onChange: () => void;
  readonly #overlays: ReadonlyMap<string, Tunnelled>;
  readonly #paths = new Map<string, Path>();
  readonly #waiting = new Set<string>();
  readonly #abort = new AbortController();
  #running = 0;
  #checksumOffload = true;
  #hasTested = false;
  /** One test at a time: they change what the others see. */
  #tests: Promise<unknown> = Promise.resolve();
  readonly #mtuOf: (address: string) => number;
  #address: string;
  #linkMtu: number;
  /** As it was when overlays were last told. */
  #settled: string;
  /** Peers of the overlays that were last followed. */
  #followed: readonly NetworkTable['peers'][] | undefined;

  /** @param known what an earlier agent found: narrow paths hold until they are looked at again */
  constructor(options: {
    readonly namespace: Namespace;
    /** Of this host. */
    readonly address: string;
    /** Of the link that has an address. */
    readonly mtuOf: (address: string) => number;
    readonly known: UnderlayRecord;
    readonly log: Logger;
    readonly onChange: () => void;
    /** Those that exist; others are made as `checksumOffload` says. */
    readonly overlays: ReadonlyMap<string, Tunnelled>;
  }) {
    this.#namespace = options.namespace;
    this.#address = options.address;
    this.#mtuOf = options.mtuOf;
    this.#linkMtu = options.mtuOf(options.address);
    this.#log = options.log;
    this.#onChange = options.onChange;
    this.#overlays = options.overlays;
    this.#checksumOffload = options.known.checksumOffload ?? true;
    for (const [peer, mtu] of Object.entries(options.known.narrowPaths ?? {})) {
      this.#paths.set(peer, { mtu, askedAt: Number.NEGATIVE_INFINITY });
    }
    this.#settled = this.#state;
  }

  /** Of the link that holds this host's address. */
  get linkMtu(): number {
    return this.#linkMtu;
  }

  /** The host got another address: what was known of paths was known of other ones. */
  moveTo(address: string): void {
    this.#address = address;
    this.#linkMtu = this.#mtuOf(address);
    this.#paths.clear();
    this.#followed = undefined;
  }

  /** Of an overlay's links. */
  mtuOf(table: NetworkTable): number {
    return overlayMtu(table, { address: this.#address, mtu: this.#mtu });
  }

  mtuOfNetwork(networkId: string): number | undefined {
    const overlay = this.#overlays.get(networkId);
    return overlay && this.mtuOf(overlay.table);
  }

  /** What the MTU of overlays follows from. */
  get #state(): string {
    return `${this.#mtu} ${isIpv6(this.#address)}`;
  }

  /** What every path takes. */
  get #mtu(): number {
    return Math.min(
      this.#linkMtu,
      ...[...this.#paths.values()].map(({ mtu }) => mtu ?? this.#linkMtu),
    );
  }

  /** Whether tunnels leave checksums to the host's links. */
  get checksumOffload(): boolean {
    return this.#checksumOffload;
  }

  get record(): UnderlayRecord {
    const found = [...this.#paths].flatMap(([peer, { mtu }]): [string, number][] =>
      mtu !== undefined && mtu < this.#linkMtu ? [[peer, mtu]] : [],
    );
    return {
      narrowPaths: Object.fromEntries(found.toSorted()),
      ...(!this.#checksumOffload && { checksumOffload: false }),
    };
  }

  /** As `follow`, when the overlays have other peers than before: most changes of a table are about something else. */
  followTables(): void {
    if (!this.#followed || !isSameList(this.#peers(), this.#followed)) this.follow();
  }

  /** Looks at the paths to the peers of the overlays, in the background: new ones now, others when it is time again. */
  follow(): void {
    this.#followed = this.#peers();
    const peers = new Set(peersOf(this.#tables(), this.#address));
    peers.delete(this.#address);
    for (const peer of this.#paths.keys()) if (!peers.has(peer)) this.#paths.delete(peer);
    for (const peer of peers) if (this.#isDue(peer)) this.#waiting.add(peer);
    for (const peer of this.#waiting) {
      if (this.#running >= PROBES_AT_ONCE) break;
      void this.#work(peer);
    }
    this.#settle();
  }

  /** Tells overlays when they have more or less room than before. */
  #settle(): boolean {
    if (this.#state === this.#settled) return false;
    this.#settled = this.#state;
    this.#onChange();
    return true;
  }

  close(): void {
    this.#abort.abort();
  }

  #isDue(peer: string): boolean {
    const path = this.#paths.get(peer);
    if (path === undefined) return true;
    const isSilent = path.mtu === undefined || this.#isUntested(peer, path);
    const rest = isSilent ? SILENT_AGAIN_AFTER_MS : AGAIN_AFTER_MS;
    return performance.now() - path.askedAt > rest;
  }

  /** Never rejects. */
  async #work(first: string): Promise<void> {
    this.#running++;
    try {
      for (let peer: string | undefined = first; peer !== undefined; [peer] = this.#waiting) {
        this.#waiting.delete(peer);
        const path = this.#paths.get(peer);
        this.#paths.set(peer, { mtu: undefined, ...path, askedAt: performance.now() });
        await this.#look(peer);
        this.#tests = this.#tests.catch(() => undefined).then(() => this.#test(peer));
        await this.#tests;
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
    this.#paths.set(peer, { ...path, mtu });
    if (mtu !== (path.mtu ?? linkMtu)) this.#say(peer, mtu);
    if (this.#settle()) this.#sayWhatDoesNotFit();
  }

  /** Lists that are the same objects until a host comes or goes. */
  #peers(): readonly NetworkTable['peers'][] {
    return this.#tables().map(({ peers }) => peers);
  }

  #tables(): readonly NetworkTable[] {
    return [...this.#overlays.values()].map(({ table }) => table);
  }

  #isUntested(peer: string, { checksums }: Path): boolean {
    return checksums === undefined && this.#checksumOffload && this.#gatewayOf(peer) !== undefined;
  }

  /** Address of the host in the mesh's network, whose tunnel every two hosts share. */
  #gatewayOf(peer: string): string | undefined {
    const mesh = this.#tables().find(({ ingress }) => ingress);
    const nodeId = mesh?.peers.find(({ address }) => address === peer)?.nodeId;
    return mesh?.gateways.find((gateway) => gateway.nodeId === nodeId)?.address;
  }

  async #test(peer: string): Promise<void> {
    const gateway = this.#gatewayOf(peer);
    const path = this.#paths.get(peer);
    if (path === undefined || gateway === undefined || !this.#isUntested(peer, path)) return;
    // An agent that was killed amidst a test left it off.
    if (!this.#hasTested) this.#setOffload(true);
    this.#hasTested = true;
    const { signal } = this.#abort;
    const checksums = await testChecksums(
      this.#namespace,
      gateway,
      (on) => this.#setOffload(on),
      signal,
    );
    this.#paths.set(peer, { ...path, checksums });
    if (checksums !== 'lost') return;
    this.#checksumOffload = false;
    const said =
      'TCP within tunnels arrives with bad checksums; they are not left to the network card any more';
    this.#log.warn(said, { peer });
    this.#onChange();
  }

  #setOffload(on: boolean): void {
    for (const overlay of this.#overlays.values()) overlay.setChecksumOffload(on);
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
    for (const table of this.#tables()) {
      const fitting = this.mtuOf({ ...table, mtu: undefined });
      if (table.mtu === undefined || table.mtu <= fitting) continue;
      const said =
        'the MTU that a network asks for does not fit between the hosts; make it anew with less';
      this.#log.warn(said, { network: table.name, mtu: table.mtu, fitting });
    }
  }
}
