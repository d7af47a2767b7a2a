import { type Entry, entrySize } from 'raft-js';
import { systemDisk, type Timer } from '../io/index.ts';
import {
  type Change,
  ClusterError,
  type DraftTables,
  type InstantMs,
  type Version,
  type View,
} from '../model/index.ts';
import type {
  Batch,
  CallOptions,
  Committed,
  Member,
  MemberStatus,
  Store,
  StoreOptions,
  Tuning,
  UpdateOptions,
} from './contract.ts';
import { lockDirectory } from './directory-lock.ts';
import { Feed } from './feed.ts';
import { FullDisk } from './full-disk.ts';
import { Inbox } from './inbox.ts';
import { Leadership } from './leadership.ts';
import { Membership } from './membership.ts';
import { Moment } from './moment.ts';
import { Outbox } from './outbox.ts';
import { Peers } from './peers.ts';
import { Proposals } from './proposals.ts';
import { Reads } from './reads.ts';
import { type Recovered, recover } from './recovery.ts';
import { Removal } from './removal.ts';
import { Replica } from './replica.ts';
import type { Outcome } from './request-table.ts';
import { Snapshotter } from './snapshotter.ts';
import { type Applied, type RemovedRecord, StateMachine } from './state-machine.ts';
import { StoreClock } from './store-clock.ts';
import { Suspicion } from './suspicion.ts';
import { TUNING } from './tuning.ts';
import { type NewRequest, Writes } from './writes.ts';

const BARRIER_MS = 2500;
const HELLO_TICKS = 10;

/** A store on this machine's disk, member of a group of managers. Nothing happens before `start`. */
export function createStore(options: StoreOptions): Store {
  return new LocalStore(options);
}

class LocalStore implements Store {
  readonly #options: StoreOptions;
  readonly #tuning: Tuning;
  readonly #machine: StateMachine;
  readonly #clock: StoreClock;
  readonly #leadership: Leadership;
  readonly #peers: Peers;
  readonly #proposals: Proposals;
  readonly #writes: Writes;
  readonly #reads: Reads;
  readonly #membership: Membership;
  readonly #suspicion: Suspicion;
  readonly #fullDisk: FullDisk;
  readonly #feed: Feed;
  readonly #removal: Removal;
  #running: Running | undefined;
  #ticks = 0;

  constructor(options: StoreOptions) {
    const { clock, random, logger, self, begin } = options;
    this.#options = options;
    this.#tuning = { ...TUNING, ...options.tuning };
    this.#machine = new StateMachine(this.#tuning.requestsMax);
    this.#clock = new StoreClock(clock);
    this.#feed = new Feed(this.#tuning.historyChanges, this.#machine.view.index);
    this.#leadership = new Leadership(logger);
    this.#peers = new Peers({
      self,
      clock,
      freshMs: 2 * this.#tuning.tickMs * this.#tuning.electionTicks,
      told: begin.kind === 'join' ? begin.members : [],
      replicated: (): ReadonlyMap<number, Member> => this.#machine.members,
      former: (): ReadonlyMap<number, Member> => this.#machine.removedMembers,
    });
    const noLeader = (): ClusterError => this.#membership.noLeader();
    const quorumLost = (): boolean => this.#membership.quorumLost();
    this.#proposals = new Proposals({
      clock,
      outcomeOf: (id): Outcome | undefined => this.#machine.outcomeOf(id),
      leadership: this.#leadership,
      noLeader,
      hasTaker: (): boolean => this.#membership.hasTaker(),
      quorumLost,
    });
    this.#writes = new Writes({
      view: this.view,
      clock,
      random,
      now: (): InstantMs => this.now(),
      proposals: this.#proposals,
      leadership: this.#leadership,
      send: (data, onDropped): void => this.#replica.propose(data, onDropped),
    });
    this.#reads = new Reads({
      clock,
      random,
      appliedIndex: (): number => this.#machine.view.index,
      requestIndex: (context): void => this.#replica.readIndex(context),
      noLeader,
      quorumLost,
    });
    const shared = {
      replica: (): Replica => this.#replica,
      leadership: this.#leadership,
      peers: this.#peers,
      tuning: this.#tuning,
      clock,
    };
    this.#removal = new Removal({
      selfId: self.raftId,
      removed: (): ReadonlyMap<number, RemovedRecord> => this.#machine.removedMembers,
      clock,
      logger,
      released: (): void => this.#membership.released(),
      forget: (raftId): void => options.transport.forget?.(raftId),
      onRemoved: options.onRemoved,
    });
    this.#suspicion = new Suspicion({ ...shared, selfId: self.raftId, random });
    this.#fullDisk = new FullDisk({
      leadership: this.#leadership,
      membership: (): Membership => this.#membership,
      isStuck: (): boolean => this.#running?.recovered.wal.isStuck === true,
      clock,
      logger,
    });
    this.#membership = new Membership({
      ...shared,
      self,
      machine: this.#machine,
      proposals: this.#proposals,
      logger,
      newRequest: (): NewRequest => this.#writes.newRequest(),
    });
  }

  get view(): View {
    return this.#machine.view;
  }

  get term(): number {
    return this.#leadership.term;
  }

  moment(): View & Disposable {
    return new Moment(this.#machine.tables, (listener) => this.watch(listener));
  }

  now(): InstantMs {
    return this.#clock.now(this.#machine.now);
  }

  async start(): Promise<void> {
    const { directory, clock, transport } = this.#options;
    const disk = this.#options.disk ?? systemDisk;
    await disk.mkdir(directory);
    const lock = lockDirectory(directory);
    try {
      const recovered = await recover({
        store: this.#options,
        disk,
        tuning: this.#tuning,
        machine: this.#machine,
        onSnapshotWanted: (): void => this.#running?.snapshotter.take(),
        onFull: (problem): void => this.#fullDisk.changed(problem),
      });
      this.#feed.forget(this.view.index);
      this.#running = this.#assemble(recovered, lock);
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
    const { inbox, replica } = this.#running;
    this.#running.listening = transport.listen(inbox);
    replica.start();
    this.#suspicion.started();
    const tick = (): void => {
      if (this.#running === undefined) return;
      this.#running.timer = clock.after(this.#tuning.tickMs, tick);
      // This process may not have run for a while: what waits in its sockets is read before time counts.
      setImmediate(() => this.#tick());
    };
    // Unless it failed at once, and said so.
    if (this.#running) this.#running.timer = clock.after(this.#tuning.tickMs, tick);
  }

  async stop(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    const others = this.members().some(
      (member) => member.role === 'voter' && member.reachable && !member.leader,
    );
    if (this.#leadership.elected && others) {
      await this.#membership.transfer(undefined, { timeoutMs: 1000 }).catch((error: unknown) => {
        this.#options.logger.warn('leadership not handed over before the stop', { error });
      });
    }
    this.#running = undefined;
    this.#halt(running, 'this manager is stopping');
    await running.snapshotter.settled();
    await running.replica.stop();
    running.lock[Symbol.dispose]();
  }

  async run(signal: AbortSignal): Promise<void> {
    await this.start();
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await this.stop();
  }

  async barrier(options: CallOptions = {}): Promise<View> {
    this.#mustRun();
    await this.#reads.wait(options.timeoutMs ?? BARRIER_MS, options.signal);
    return this.view;
  }

  async update<T>(
    work: (draft: DraftTables) => T,
    options: UpdateOptions = {},
  ): Promise<Committed<T>> {
    if (options.linearizable === true) await this.barrier({ signal: options.signal });
    this.#mustWrite();
    return this.#writes.update(work, options);
  }

  async propose(changes: readonly Change[], options: UpdateOptions = {}): Promise<Committed<void>> {
    this.#mustWrite();
    return this.#writes.propose(changes, options);
  }

  watch(listener: (batch: Batch) => void): Disposable {
    return this.#feed.watch(listener);
  }

  changes(after: Version, signal: AbortSignal): AsyncIterable<Batch> {
    return this.#feed.follow(after, signal);
  }

  isLeader(): boolean {
    return this.#leadership.leading;
  }

  leader(): Member | undefined {
    return this.#peers.get(this.#leadership.lead);
  }

  onLeadership(listener: (leading: boolean) => void): Disposable {
    return this.#leadership.listen(listener);
  }

  members(): readonly MemberStatus[] {
    return this.#running === undefined ? [] : this.#membership.list();
  }

  introduced(by: number, members: readonly Member[]): readonly Member[] {
    this.#peers.said(by, members);
    return [this.#options.self, ...this.#peers.others()];
  }

  async addMember(member: Member, options?: CallOptions): Promise<void> {
    this.#mustRun();
    await this.#membership.add(member, options);
  }

  async removeMember(raftId: number, options?: CallOptions): Promise<void> {
    this.#mustRun();
    await this.#membership.remove(raftId, options);
  }

  async transferLeadership(to?: number, options?: CallOptions): Promise<void> {
    this.#mustRun();
    await this.#membership.transfer(to, options);
  }

  #mustWrite(): void {
    this.#mustRun();
    this.#fullDisk.check();
  }

  get #replica(): Replica {
    return this.#mustRun().replica;
  }

  #mustRun(): Running {
    if (this.#running) return this.#running;
    throw new ClusterError('unavailable', 'this manager is not running');
  }

  #assemble(recovered: Recovered, lock: Disposable): Running {
    const { clusterId, self, transport, logger, clock, random } = this.#options;
    const peers = this.#peers;
    const outbox = new Outbox({
      clusterId,
      transport,
      peers,
      snapshots: recovered.snapshots,
      clock,
      logger,
      onUnreachable: (raftId): void => this.#running?.replica.reportUnreachable(raftId),
      onSnapshotSent: (raftId, ok): void => this.#running?.replica.reportSnapshot(raftId, ok),
    });
    const tuning = this.#tuning;
    const replica = new Replica({
      raftId: self.raftId,
      recovered,
      outbox,
      tuning,
      clock,
      random,
      logger,
      hooks: {
        applied: (entry, applied): void => this.#applied(entry, applied),
        reset: (index): void => this.#reset(index),
        readIndex: (context, index): void => this.#reads.confirmed(context, index),
        roleChanged: (soft, term): void => {
          if (!this.#leadership.roleChanged(soft, term)) return;
          this.#proposals.resendAll();
          this.#reads.restart();
        },
        fatal: (error): void => this.#fatal(error),
      },
    });
    const snapshotter = new Snapshotter({
      recovered,
      replica: (): Replica => replica,
      tuning,
      logger,
    });
    const inbox = new Inbox({
      clusterId,
      selfId: self.raftId,
      peers,
      snapshots: recovered.snapshots,
      clock,
      logger,
      step: (message): void => replica.step(message),
      unreachable: (raftId): void => {
        peers.lost(raftId);
        this.#suspicion.lost(raftId);
        replica.reportUnreachable(raftId);
      },
      isRemoved: (raftId): boolean => this.#removal.has(raftId),
      tellRemoved: (raftId): void => {
        if (this.#removal.isSettled(raftId)) outbox.send(raftId, { kind: 'removed' });
      },
      removed: (): void => this.#removal.tell(),
    });
    const parts = { recovered, replica, outbox, inbox, snapshotter, lock };
    return { ...parts, timer: undefined, listening: undefined };
  }

  #applied(entry: Entry, applied: Applied | undefined): void {
    if (applied?.batch) this.#feed.publish(applied.batch);
    if (applied) this.#proposals.applied(applied.id, applied.outcome);
    this.#leadership.entryApplied(entry.term);
    this.#reads.advance();
    this.#running?.snapshotter.applied(entrySize(entry));
    if (entry.type !== 'EntryNormal') this.#removal.check();
  }

  #reset(index: Version): void {
    this.#running?.snapshotter.installed(index);
    this.#feed.publish({ index, now: this.#machine.now, changes: [], reset: true });
    this.#proposals.checkAll();
    this.#reads.advance();
    this.#removal.check();
  }

  #tick(): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#peers.recall(running.recovered.lastSaid, this.view.index);
    running.replica.tick();
    this.#suspicion.tick();
    this.#fullDisk.tick();
    this.#proposals.tick();
    this.#reads.tick();
    this.#membership.tick();
    if (this.#ticks++ % HELLO_TICKS !== 0 && !this.#removal.leaving) return;
    running.replica.writer.settle();
    const hello = this.#peers.hello();
    for (const { raftId } of this.#peers.others()) running.outbox.send(raftId, hello);
  }

  #fatal(error: Error): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    this.#halt(running, 'this manager failed');
    this.#options.logger.error('store cannot go on', { error });
    this.#options.onFatal(error);
  }

  #halt(running: Running, why: string): void {
    running.timer?.cancel();
    running.listening?.[Symbol.dispose]();
    this.#leadership.end();
    const error = new ClusterError('unavailable', why);
    const unsure = `${why}, and does not know whether the change was made: look, and ask again if it was not`;
    this.#proposals.failAll(new ClusterError('unavailable', unsure));
    this.#reads.failAll(error);
    this.#feed.end(error);
  }
}

interface Running {
  readonly recovered: Recovered;
  readonly replica: Replica;
  readonly outbox: Outbox;
  readonly inbox: Inbox;
  readonly snapshotter: Snapshotter;
  readonly lock: Disposable;
  timer: Timer | undefined;
  listening: Disposable | undefined;
}
