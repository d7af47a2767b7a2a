import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger, systemRandom } from '../../io/index.ts';
import type { ClusterId, NodeId } from '../../model/index.ts';
import { applyEntry } from '../apply-entry.ts';
import type { Member, Store } from '../contract.ts';
import type { FrameCodec } from '../frame-codec.ts';
import { decodeEnvelope } from '../message-codec.ts';
import { recover } from '../recovery.ts';
import { StateMachine } from '../state-machine.ts';
import { createStore } from '../store.ts';
import type { Transport } from '../transport.ts';
import { TUNING } from '../tuning.ts';
import { write } from './cluster.ts';
import { type DiskImage, type DiskOperation, JournalDisk } from './journal-disk.ts';
import { ManualClock } from './manual-clock.ts';
import { MemoryNetwork } from './memory-network.ts';

/** What a member had promised after so many operations of its disk. */
export interface Promised {
  readonly operations: number;
  /** It has the log up to here … */
  readonly index: number;
  /** … and takes part in this term. */
  readonly term: number;
}

export interface Written {
  readonly name: string;
  readonly index: number;
}

/** A member's life: its disk, what it promised when, and what the group has written. */
export interface Life {
  readonly self: Member;
  readonly directory: string;
  readonly codec: FrameCodec | undefined;
  readonly journal: readonly DiskOperation[];
  readonly image: DiskImage;
  readonly promised: readonly Promised[];
  readonly written: readonly Written[];
  /** Whether this was written nobody was told. */
  readonly inFlight?: string | undefined;
}

/** What a member finds on its disk. */
export interface Found {
  readonly names: readonly string[];
  readonly index: number;
  readonly term: number;
}

const CLUSTER = 'cluster1' as ClusterId;
const TUNED = { snapshotEntries: 12, trailingEntries: 3, segmentBytes: 12 * 1024, tickMs: 10 };
const SETTLE_MS = 400;
const TEXT = 'x'.repeat(300);

/** Members of one group in this process, each on a disk in memory. */
export class FaultScenario implements Disposable {
  readonly clock = new ManualClock();
  readonly network = new MemoryNetwork();
  readonly written: Written[] = [];
  inFlight: string | undefined;
  readonly #folder = mkdtempSync(join(tmpdir(), 'muster-faults-'));
  readonly #codec: FrameCodec | undefined;

  constructor(codec?: FrameCodec) {
    this.#codec = codec;
  }

  async start(raftId: number, disk: JournalDisk, members?: readonly Member[]): Promise<Actor> {
    const actor = new Actor(raftId, disk, this.directory(raftId), this.#codec);
    await actor.start(this, members);
    return actor;
  }

  directory(raftId: number): string {
    return join(this.#folder, String(raftId));
  }

  /** One write after the other, acknowledged. */
  async write(by: Actor, count: number): Promise<void> {
    for (let left = count; left > 0; left--) {
      const name = `c${String(this.written.length).padStart(3, '0')}`;
      this.inFlight = name;
      const index = await this.pass(write(by.store, name, TEXT));
      this.inFlight = undefined;
      this.written.push({ name, index });
      by.promise(index);
    }
  }

  /** Time goes on until it has settled. */
  async pass<T>(work: Promise<T>): Promise<T> {
    let over = false;
    const end = (): void => {
      over = true;
    };
    work.then(end, end);
    await this.clock.until(() => over);
    return await work;
  }

  /** Nothing happens for as long as it takes to make the end of the log recognisable. */
  async settle(): Promise<void> {
    for (let ms = 0; ms < SETTLE_MS; ms += TUNED.tickMs) await this.clock.advance(TUNED.tickMs);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export class Actor {
  readonly self: Member;
  readonly disk: JournalDisk;
  readonly directory: string;
  readonly promised: Promised[] = [];
  readonly fatal: Error[] = [];
  readonly #codec: FrameCodec | undefined;
  #store: Store | undefined;
  #alive = true;

  constructor(raftId: number, disk: JournalDisk, directory: string, codec?: FrameCodec) {
    this.self = { raftId, nodeId: `n${raftId}` as NodeId, address: `m${raftId}:1` };
    this.disk = disk;
    this.directory = directory;
    this.#codec = codec;
  }

  get store(): Store {
    if (this.#store === undefined) throw new Error('not started');
    return this.#store;
  }

  async start(scenario: FaultScenario, members?: readonly Member[]): Promise<void> {
    mkdirSync(this.directory, { recursive: true });
    const { clock } = scenario;
    this.#store = createStore({
      directory: this.directory,
      clusterId: CLUSTER,
      self: this.self,
      begin: members ? { kind: 'join', members } : { kind: 'bootstrap' },
      transport: this.#listening(scenario.network.transport(this.self.raftId)),
      clock: {
        now: () => clock.now(),
        monotonicMs: () => clock.monotonicMs(),
        after: (delayMs, action) => clock.after(delayMs, () => this.#alive && action()),
      },
      random: systemRandom,
      logger: silentLogger,
      onFatal: (error) => void this.fatal.push(error),
      disk: this.disk,
      codec: this.#codec,
      tuning: TUNED,
    });
    await scenario.pass(this.#store.start());
  }

  async stop(): Promise<void> {
    await this.#store?.stop();
    this.end();
  }

  /** Nothing of it happens any more. */
  end(): void {
    this.#alive = false;
  }

  promise(index: number, term = this.store.term): void {
    this.promised.push({ operations: this.disk.journal.length, index, term });
  }

  life(written: readonly Written[]): Life {
    const { self, directory, promised } = this;
    const { journal, image } = this.disk;
    return {
      self,
      directory,
      codec: this.#codec,
      journal: [...journal],
      image,
      promised: [...promised],
      written: [...written],
    };
  }

  /** Every acknowledgement and vote that leaves is a promise. */
  #listening(transport: Transport): Transport {
    return {
      ...transport,
      send: (to, payload): void => {
        const envelope = decodeEnvelope(CLUSTER, payload);
        for (const message of envelope?.kind === 'messages' ? envelope.messages : []) {
          const { type, reject, index = 0, term = 0 } = message;
          if (reject === true) continue;
          if (type === 'MsgAppResp') this.promise(index, term);
          if (type === 'MsgVoteResp') this.promise(0, term);
        }
        transport.send(to, payload);
      },
    };
  }
}

/** A member alone: several segments, snapshots, a restart in between; `end` is how its program ended. */
export async function aloneLife(
  end: 'closed' | 'idle' | 'killed',
  codec?: FrameCodec,
  disk = new JournalDisk(),
): Promise<Life> {
  using scenario = new FaultScenario(codec);
  const first = await scenario.start(1, disk);
  await scenario.clock.until(() => first.store.isLeader());
  await scenario.write(first, 20);
  await scenario.pass(first.store.stop());
  const actor = await scenario.start(1, disk);
  await scenario.clock.until(() => actor.store.isLeader());
  await scenario.write(actor, 28);
  if (end === 'idle') await scenario.settle();
  if (end === 'closed') await scenario.pass(actor.store.stop());
  const life = actor.life(scenario.written);
  actor.end();
  return { ...life, promised: [...first.promised, ...life.promised] };
}

/** A member alone whose disk begins to fail: it writes until it is refused or has ended. */
export async function failingLife(
  disk: JournalDisk,
  codec?: FrameCodec,
): Promise<Life & { readonly error: unknown }> {
  using scenario = new FaultScenario(codec);
  const actor = new Actor(1, disk, scenario.directory(1), codec);
  let error: unknown;
  try {
    await actor.start(scenario);
    await scenario.clock.until(() => actor.store.isLeader() || actor.fatal.length > 0);
    await scenario.write(actor, 30);
  } catch (caught) {
    error = actor.fatal[0] ?? caught;
  }
  await scenario.pass(actor.stop());
  return { ...actor.life(scenario.written), inFlight: scenario.inFlight, error };
}

/** It starts again on what a program reads, without a loss of power, and goes on writing. */
export async function nextLife(before: Life, disk: JournalDisk): Promise<Life> {
  using scenario = new FaultScenario(before.codec);
  const actor = new Actor(1, disk, before.directory, before.codec);
  await actor.start(scenario);
  await scenario.clock.until(() => actor.store.isLeader());
  const known = [...actor.store.view.list('config')];
  for (const { spec, version } of known) scenario.written.push({ name: spec.Name, index: version });
  actor.promise(actor.store.view.index);
  await scenario.write(actor, 5);
  const life = actor.life(scenario.written);
  actor.end();
  rmSync(before.directory, { recursive: true });
  return { ...life, promised: [...before.promised, ...life.promised] };
}

/** A follower that was away and then got the leader's snapshot, and entries behind it. */
export async function followerLife(codec?: FrameCodec): Promise<Life> {
  using scenario = new FaultScenario(codec);
  const leader = await scenario.start(1, new JournalDisk());
  await scenario.clock.until(() => leader.store.isLeader());
  const actors = [leader];
  for (const raftId of [2, 3]) {
    const actor = await scenario.start(raftId, new JournalDisk(), [leader.self]);
    actors.push(actor);
    await scenario.pass(leader.store.addMember(actor.self));
    await scenario.clock.until(() =>
      leader.store.members().some((each) => each.raftId === raftId && each.role === 'voter'),
    );
  }
  const follower = actors[2] as Actor;
  await scenario.write(leader, 6);
  scenario.network.isolate(3);
  await scenario.write(leader, 30);
  scenario.network.heal(3);
  const { view } = follower.store;
  const caughtUp = (): boolean => view.index >= (scenario.written.at(-1)?.index ?? 0);
  await scenario.clock.until(caughtUp);
  await scenario.write(leader, 16);
  await scenario.clock.until(caughtUp);
  await scenario.settle();
  const life = follower.life(scenario.written);
  for (const actor of actors) actor.end();
  return life;
}

/** Start from this disk, as far as reading it goes, and apply everything that is in the log. */
export async function recoverFrom(life: Life, disk: JournalDisk): Promise<Found> {
  const machine = new StateMachine(TUNING.requestsMax);
  const recovered = await recover({
    store: {
      directory: life.directory,
      clusterId: CLUSTER,
      self: life.self,
      begin: { kind: 'join', members: [] },
      clock: new ManualClock(),
      random: systemRandom,
      logger: silentLogger,
      codec: life.codec,
    },
    disk,
    tuning: { ...TUNING, ...TUNED },
    machine,
    onSnapshotWanted: () => undefined,
  });
  const { storage, wal } = recovered;
  await wal.giveUpWaiting();
  const index = storage.lastIndex();
  for (const entry of storage.entries(storage.firstIndex(), index + 1, Number.POSITIVE_INFINITY)) {
    if (entry.index > machine.view.index) applyEntry(machine, entry, () => undefined);
  }
  const names = [...machine.view.list('config')].map((config) => config.spec.Name).sort();
  return { names, index, term: storage.hardState.term };
}
