import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger, systemClock, systemRandom } from '../../io/index.ts';
import type { ClusterId, Config, ConfigId, InstantMs, NodeId } from '../../model/index.ts';
import { createObject, VERSION_NONE } from '../../model/index.ts';
import type { Member, Store, StoreOptions, Tuning } from '../contract.ts';
import { LOCK_FILE } from '../directory-lock.ts';
import type { FrameCodec } from '../frame-codec.ts';
import { createStore } from '../store.ts';
import { CrashDisk } from './crash-disk.ts';
import { MemoryNetwork } from './memory-network.ts';

export interface Manager {
  readonly member: Member;
  readonly store: Store;
  readonly directory: string;
  readonly disk: CrashDisk;
  readonly fatal: Error[];
  removed: boolean;
  /** Called in the instant in which it is told that it was removed. */
  onRemoved: () => void;
  /** Its time stands still from now on. */
  readonly stopClock: () => void;
}

const FAST: Partial<Tuning> = {
  tickMs: 20,
  electionTicks: 10,
  segmentBytes: 64 * 1024,
};

/** Managers with real files in a temporary folder and a network in memory. */
export class TestCluster implements AsyncDisposable {
  readonly network = new MemoryNetwork();
  readonly managers = new Map<number, Manager>();
  readonly #root = mkdtempSync(join(tmpdir(), 'muster-store-'));
  readonly #tuning: Partial<Tuning>;

  /** Encryption of each manager's files. */
  readonly #codecs: (raftId: number) => FrameCodec | undefined;

  constructor(
    tuning: Partial<Tuning> = {},
    codecs: (raftId: number) => FrameCodec | undefined = () => undefined,
  ) {
    this.#codecs = codecs;
    this.#tuning = { ...FAST, ...tuning };
  }

  /** Start `count` managers as one group and wait until all are voters. */
  static async of(count: number, tuning: Partial<Tuning> = {}): Promise<TestCluster> {
    const cluster = new TestCluster(tuning);
    const first = await cluster.start(1, { kind: 'bootstrap' });
    await until(() => first.store.isLeader());
    for (let raftId = 2; raftId <= count; raftId++) await cluster.join(raftId);
    return cluster;
  }

  async start(
    raftId: number,
    begin: StoreOptions['begin'],
    address = `m${raftId}:1`,
  ): Promise<Manager> {
    const member: Member = { raftId, nodeId: `node${raftId}` as NodeId, address };
    this.network.listenAt(raftId, address);
    const directory = this.directory(raftId);
    const disk = new CrashDisk();
    const fatal: Error[] = [];
    let alive = true;
    const stopClock = (): void => {
      alive = false;
    };
    const store = createStore({
      directory,
      clusterId: 'cluster1' as ClusterId,
      self: member,
      begin,
      transport: this.network.transport(raftId),
      clock: {
        ...systemClock,
        after: (delayMs, action) => systemClock.after(delayMs, () => alive && action()),
      },
      random: systemRandom,
      logger: silentLogger,
      onFatal: (error) => fatal.push(error),
      onRemoved: () => {
        manager.removed = true;
        manager.onRemoved();
      },
      disk,
      codec: this.#codecs(raftId),
      tuning: this.#tuning,
    });
    const manager: Manager = {
      member,
      store,
      directory,
      disk,
      fatal,
      removed: false,
      onRemoved: () => undefined,
      stopClock,
    };
    this.managers.set(raftId, manager);
    this.network.heal(raftId);
    await store.start();
    return manager;
  }

  /** Add a new manager and wait until it is a voter everywhere. */
  async join(raftId: number): Promise<Manager> {
    const leader = await this.leader();
    const members = leader.store.members();
    const manager = await this.start(raftId, { kind: 'join', members });
    await leader.store.addMember(manager.member);
    await until(() =>
      [...this.managers.values()].every(({ store }) =>
        store.members().some((each) => each.raftId === raftId && each.role === 'voter'),
      ),
    );
    return manager;
  }

  /** As kill -9 together with a power failure: unsynced writes are gone. */
  async kill(raftId: number): Promise<void> {
    const manager = this.get(raftId);
    this.network.kill(raftId);
    this.managers.delete(raftId);
    manager.stopClock();
    await manager.disk.crash();
    rmSync(join(manager.directory, LOCK_FILE), { force: true });
  }

  async restart(raftId: number, address?: string): Promise<Manager> {
    return this.start(raftId, { kind: 'join', members: [] }, address);
  }

  /** Where its files are, whether or not it runs. */
  directory(raftId: number): string {
    return join(this.#root, String(raftId));
  }

  wipe(raftId: number): void {
    rmSync(this.directory(raftId), { recursive: true, force: true });
  }

  get(raftId: number): Manager {
    const manager = this.managers.get(raftId);
    if (!manager) throw new Error(`manager ${raftId} does not run`);
    return manager;
  }

  async leader(): Promise<Manager> {
    let found: Manager | undefined;
    await until(() => {
      found = [...this.managers.values()].find(({ store }) => store.isLeader());
      return found !== undefined;
    });
    if (!found) throw new Error('no leader');
    return found;
  }

  async follower(): Promise<Manager> {
    const leader = await this.leader();
    for (const manager of this.managers.values()) if (manager !== leader) return manager;
    throw new Error('no follower');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const raftId of [...this.managers.keys()]) await this.kill(raftId);
    rmSync(this.#root, { recursive: true, force: true });
  }
}

/** Wait for a condition that other events bring about. */
export async function until(condition: () => boolean, limitMs = 10_000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`did not happen: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A small object with a unique name. */
export function config(name: string, text = ''): Config {
  return {
    id: `id-${name}` as ConfigId,
    version: VERSION_NONE,
    createdAt: 0 as InstantMs,
    updatedAt: 0 as InstantMs,
    spec: { Name: name, Data: text },
  } as Config;
}

export async function write(store: Store, name: string, text = ''): Promise<number> {
  const { index } = await store.update((draft) =>
    draft.add(createObject('config', config(name, text))),
  );
  return index;
}

export function names(store: Store): readonly string[] {
  return [...store.view.list('config')].map((each) => each.spec.Name);
}
