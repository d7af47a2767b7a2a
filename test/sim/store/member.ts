import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, silentLogger, type Timer } from '../../../pkg/io/index.ts';
import type { ClusterId, InstantMs, NodeId, Version } from '../../../pkg/model/index.ts';
import { createStore, LogKeys, type Member, type Store } from '../../../pkg/store/index.ts';
import type { Access } from './client.ts';
import type { Places } from './places.ts';
import type { Plan } from './plan.ts';
import { SimDisk } from './sim-disk.ts';
import type { SimNetwork } from './sim-network.ts';
import type { Witness } from './witness.ts';
import type { World } from './world.ts';

const EPOCH_MS = 1_700_000_000_000;
const TICK_MS = 100;
const LOCK_FILE = 'lock';
/** Versions between two unlock keys. */
const ROTATE_EVERY = 23;

export interface Surroundings {
  readonly places: Places;
  readonly world: World;
  readonly network: SimNetwork;
  readonly plan: Plan;
  /** The lock is a real file: it is about processes, not about what is durable. */
  readonly folder: string;
  readonly witness: Witness;
}

/** One simulated machine: a disk and a clock that stay, and a store that is started, killed and started again. */
export class SimMember implements Access {
  readonly raftId: number;
  /** Members as they were known when it went off. */
  #knew: readonly Member[] = [];
  readonly disk: SimDisk;
  readonly #around: Surroundings;
  readonly #drift: number;
  readonly #offsetMs: number;
  readonly #directory: string;
  #run = 0;
  #store: Store | undefined;
  #end: () => void = () => undefined;
  #ended: Promise<void> = Promise.resolve();
  /** The store gave up by itself, as it must when its disk fails. */
  failed: Error | undefined;
  /** It refused what is on its disk. */
  refused: unknown;
  /** It was told that it is no member any more. */
  removed = false;
  #keys: LogKeys | undefined;
  #unlockKey: string | undefined;
  #rotatedAt = 0;

  constructor(raftId: number, around: Surroundings) {
    const { world, plan, folder } = around;
    this.raftId = raftId;
    this.disk = new SimDisk(world, plan.disk);
    this.#around = around;
    this.#drift = 1 + world.random.between(-plan.clockDrift, plan.clockDrift);
    this.#offsetMs = world.random.between(-plan.clockOffsetMs, plan.clockOffsetMs);
    this.#directory = join(folder, String(raftId));
  }

  get self(): Member {
    const { raftId } = this;
    const address = this.#around.places.addressOf(raftId);
    return { raftId, nodeId: `node${raftId}` as NodeId, address };
  }

  get known(): readonly Member[] {
    return this.#store?.members() ?? this.#knew;
  }

  get store(): Store {
    if (this.#store === undefined) throw new Error(`member ${this.self.raftId} does not run`);
    return this.#store;
  }

  get ended(): Promise<void> {
    return this.#ended;
  }

  get isUp(): boolean {
    return this.#store !== undefined;
  }

  /** Begins to start; it takes part as soon as its disk was read. */
  start(members: readonly Member[] | 'bootstrap'): void {
    const { world, network, plan, witness } = this.#around;
    const run = ++this.#run;
    const { raftId } = this.self;
    this.failed = undefined;
    mkdirSync(this.#directory, { recursive: true });
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    const store = createStore({
      directory: this.#directory,
      clusterId: 'cluster1' as ClusterId,
      self: this.self,
      begin: members === 'bootstrap' ? { kind: 'bootstrap' } : { kind: 'join', members },
      transport: network.transport(raftId),
      clock: this.#clock(() => run === this.#run),
      random: {
        float: () => world.random.next(),
        bytes: (count) => Uint8Array.from({ length: count }, () => world.random.below(256)),
      },
      logger: silentLogger,
      onFatal: (error): void => {
        if (run === this.#run) this.failed = error;
      },
      onRemoved: (): void => {
        if (run === this.#run) this.removed = true;
      },
      disk: this.disk.mount(),
      codec: plan.encrypted ? this.#openKeys().codec : undefined,
      tuning: {
        tickMs: TICK_MS,
        snapshotEntries: plan.snapshotEntries,
        trailingEntries: 5,
        segmentBytes: plan.segmentBytes,
        historyChanges: plan.historyChanges,
      },
    });
    store.watch((batch) => {
      if (run !== this.#run) return;
      witness.saw(raftId, batch, store);
      this.#rotate(batch.index);
    });
    store.onLeadership((leading) => {
      if (leading && run === this.#run) witness.leads(raftId, store);
    });
    this.#store = store;
    store.start().catch((error: unknown) => {
      if (run === this.#run) this.refused = error;
    });
  }

  acknowledged(index: number): void {
    if (this.#store) this.#around.witness.acknowledged(index, this.#store);
  }

  /** Its process and its machine end now. */
  kill(): void {
    this.#run++;
    this.#knew = this.known;
    this.#store = undefined;
    this.disk.crash();
    this.#around.network.gone(this.self.raftId);
    rmSync(join(this.#directory, LOCK_FILE), { force: true });
    this.#end();
  }

  /** Ends its process in order. What comes of it in the middle of a crash is nobody's business. */
  async stop(): Promise<void> {
    const run = this.#run;
    await this.store.stop().catch(() => undefined);
    if (run === this.#run) this.kill();
  }

  /** Everything replicated, as text. */
  content(): string {
    const configs = [...this.store.view.list('config')];
    const members = this.store
      .members()
      .map(({ raftId, role, address }) => `${raftId} ${role} ${address}`);
    return JSON.stringify([members.sort(), configs.sort((a, b) => (a.id < b.id ? -1 : 1))]);
  }

  #clock(living: () => boolean): Clock {
    const { world } = this.#around;
    return {
      now: (): InstantMs =>
        Math.floor(EPOCH_MS + this.#offsetMs + world.now * this.#drift) as InstantMs,
      monotonicMs: (): number => world.now * this.#drift,
      after: (delayMs, action): Timer =>
        world.after(delayMs / this.#drift, () => {
          if (living()) action();
        }),
    };
  }

  /** The key file is a real one: it is replaced in one step, and durable before anybody goes on. */
  #openKeys(): LogKeys {
    const file = join(this.#directory, 'keys.json');
    this.#keys = LogKeys.open(file, { begin: !existsSync(file), unlockKey: this.#unlockKey });
    return this.#keys;
  }

  #rotate(index: Version): void {
    // Older ones are met again when the log is replayed.
    if (index % ROTATE_EVERY !== 0 || index <= this.#rotatedAt) return;
    if (this.#keys === undefined) return;
    this.#rotatedAt = index;
    this.#unlockKey = `SWMKEY-1-${Buffer.alloc(32, index).toString('base64')}`;
    this.#keys.follow(this.#unlockKey, index);
  }
}
