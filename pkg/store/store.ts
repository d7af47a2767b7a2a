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
import { ENTRY_BYTES_MAX, mergeChanges, splitChanges } from './batch.ts';
import { encodeCommand, type RequestId } from './command.ts';
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
import { Inbox } from './inbox.ts';
import { Leadership } from './leadership.ts';
import { Membership } from './membership.ts';
import { Outbox } from './outbox.ts';
import { Peers } from './peers.ts';
import { Proposals } from './proposals.ts';
import { Reads } from './reads.ts';
import { type Recovered, recover } from './recovery.ts';
import { refusalError, StrictDraft } from './refusal.ts';
import { Replica } from './replica.ts';
import type { Outcome } from './request-table.ts';
import { Snapshotter } from './snapshotter.ts';
import { type Applied, StateMachine } from './state-machine.ts';

const TUNING: Tuning = {
  tickMs: 100,
  electionTicks: 10,
  heartbeatTicks: 1,
  snapshotEntries: 10_000,
  snapshotBytes: 32 * 1024 * 1024,
  trailingEntries: 500,
  logBytesMax: 64 * 1024 * 1024,
  segmentBytes: 16 * 1024 * 1024,
  requestsMax: 10_000,
};
const UPDATE_MS = 20_000;
const BARRIER_MS = 2500;
const HELLO_TICKS = 10;
const ATTEMPTS_MAX = 20;

/** A store on this machine's disk, member of a group of managers. Nothing happens before `start`. */
export function createStore(options: StoreOptions): Store {
  return new LocalStore(options);
}

class LocalStore implements Store {
  readonly #options: StoreOptions;
  readonly #tuning: Tuning;
  readonly #machine: StateMachine;
  readonly #leadership: Leadership;
  readonly #peers: Peers;
  readonly #proposals: Proposals;
  readonly #reads: Reads;
  readonly #membership: Membership;
  readonly #watchers = new Set<(batch: Batch) => void>();
  #running: Running | undefined;
  #ticks = 0;
  #removedTold = false;

  constructor(options: StoreOptions) {
    const { clock, random, logger, self, begin } = options;
    this.#options = options;
    this.#tuning = { ...TUNING, ...options.tuning };
    this.#machine = new StateMachine(this.#tuning.requestsMax);
    this.#leadership = new Leadership(logger);
    this.#peers = new Peers({
      clock,
      told: begin.kind === 'join' ? begin.members : [],
      replicated: (): ReadonlyMap<number, Member> => this.#machine.members,
      former: (): ReadonlyMap<number, Member> => this.#machine.removedMembers,
    });
    const noLeader = (): ClusterError => this.#membership.noLeader();
    this.#proposals = new Proposals({
      clock,
      outcomeOf: (id): Outcome | undefined => this.#machine.outcomeOf(id),
      leadership: this.#leadership,
      noLeader,
    });
    this.#reads = new Reads({
      clock,
      random,
      appliedIndex: (): number => this.#machine.view.index,
      requestIndex: (context): void => this.#replica.readIndex(context),
      noLeader,
    });
    this.#membership = new Membership({
      self,
      machine: this.#machine,
      replica: (): Replica => this.#replica,
      leadership: this.#leadership,
      peers: this.#peers,
      proposals: this.#proposals,
      tuning: this.#tuning,
      clock,
      logger,
      newRequest: (): NewRequest => this.#newRequest(),
    });
  }

  get view(): View {
    return this.#machine.view;
  }

  get term(): number {
    return this.#leadership.term;
  }

  now(): InstantMs {
    return Math.max(this.#options.clock.now(), this.#machine.now) as InstantMs;
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
      });
      this.#running = this.#assemble(recovered, lock);
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
    const { inbox, replica } = this.#running;
    this.#running.listening = transport.listen(inbox);
    replica.start();
    const tick = (): void => {
      if (this.#running === undefined) return;
      this.#running.timer = clock.after(this.#tuning.tickMs, tick);
      this.#tick();
    };
    this.#running.timer = clock.after(this.#tuning.tickMs, tick);
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
    const { clock } = this.#options;
    const deadline = clock.monotonicMs() + (options.timeoutMs ?? UPDATE_MS);
    for (let attempt = 1; ; attempt++) {
      const draft = new StrictDraft(this.view);
      const value = work(draft);
      if (draft.changes.length === 0) return { value, index: this.view.index };
      const timeoutMs = Math.max(1, deadline - clock.monotonicMs());
      const outcome = await this.#submit(draft.changes, { ...options, timeoutMs });
      if (outcome.refusal === undefined) return { value, index: outcome.index };
      // Its refusal is applied here, so the next attempt sees what stood in the way.
      const again = options.retryStale !== false && attempt < ATTEMPTS_MAX;
      if (!again) throw refusalError(outcome.refusal);
    }
  }

  async propose(changes: readonly Change[], options: CallOptions = {}): Promise<Committed<void>> {
    const pieces = splitChanges(changes);
    if (pieces.length <= 1) {
      if (changes.length === 0) return { value: undefined, index: this.view.index };
      return committed(await this.#submit(changes, options));
    }
    let after: RequestId | undefined;
    const outcomes = splitChanges(mergeChanges(changes)).map((piece) => {
      const request = { ...this.#newRequest(), after, changes: piece };
      after = request.id;
      return this.#send(request, options);
    });
    const settled = await Promise.allSettled(outcomes);
    let last: Committed<void> = { value: undefined, index: this.view.index };
    for (const result of settled) {
      if (result.status === 'rejected') throw result.reason;
      last = committed(result.value);
    }
    return last;
  }

  watch(listener: (batch: Batch) => void): Disposable {
    this.#watchers.add(listener);
    return { [Symbol.dispose]: (): void => void this.#watchers.delete(listener) };
  }

  isLeader(): boolean {
    return this.#leadership.leading;
  }

  leader(): Member | undefined {
    const member = this.#peers.get(this.#leadership.lead);
    return this.#leadership.lead === this.#options.self.raftId ? this.#options.self : member;
  }

  onLeadership(listener: (leading: boolean) => void): Disposable {
    return this.#leadership.listen(listener);
  }

  members(): readonly MemberStatus[] {
    return this.#running === undefined ? [] : this.#membership.list();
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

  get #replica(): Replica {
    return this.#mustRun().replica;
  }

  #mustRun(): Running {
    if (this.#running) return this.#running;
    throw new ClusterError('unavailable', 'this manager is not running');
  }

  #assemble(recovered: Recovered, lock: Disposable): Running {
    const { clusterId, self, transport, logger, clock, random } = this.#options;
    const { snapshots } = recovered;
    const peers = this.#peers;
    const outbox = new Outbox({
      clusterId,
      transport,
      peers,
      snapshots,
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
      snapshots,
      logger,
      step: (message): void => replica.step(message),
      unreachable: (raftId): void => {
        peers.lost(raftId);
        replica.reportUnreachable(raftId);
      },
      isRemoved: (raftId): boolean => this.#machine.removedMembers.has(raftId),
      tellRemoved: (raftId): void => outbox.send(raftId, { kind: 'removed' }),
      removed: (): void => this.#tellRemoved(),
    });
    return { replica, outbox, inbox, snapshotter, lock, timer: undefined, listening: undefined };
  }

  #applied(entry: Entry, applied: Applied | undefined): void {
    if (applied?.batch) this.#publish(applied.batch);
    if (applied) this.#proposals.applied(applied.id, applied.outcome);
    this.#leadership.entryApplied(entry.term);
    this.#reads.advance();
    this.#running?.snapshotter.applied(entrySize(entry));
    if (entry.type !== 'EntryNormal') this.#checkRemoved();
  }

  #reset(index: Version): void {
    this.#running?.snapshotter.installed(index);
    this.#publish({ index, now: this.#machine.now, changes: [], reset: true });
    this.#proposals.checkAll();
    this.#reads.advance();
    this.#checkRemoved();
  }

  #publish(batch: Batch): void {
    for (const listener of [...this.#watchers]) listener(batch);
  }

  #tick(): void {
    const running = this.#running;
    if (running === undefined) return;
    running.replica.tick();
    this.#proposals.tick();
    this.#reads.tick();
    this.#membership.tick();
    if (this.#ticks++ % HELLO_TICKS !== 0) return;
    const { self } = this.#options;
    for (const { raftId } of this.#peers.all()) {
      if (raftId !== self.raftId) running.outbox.send(raftId, { kind: 'hello', member: self });
    }
  }

  #newRequest(): NewRequest {
    const id = Buffer.from(this.#options.random.bytes(16)).toString('hex');
    return { id, now: this.now(), base: this.view.index };
  }

  #submit(changes: readonly Change[], options: CallOptions): Promise<Outcome> {
    return this.#send({ ...this.#newRequest(), after: undefined, changes }, options);
  }

  #send(request: Parameters<typeof encodeCommand>[0], options: CallOptions): Promise<Outcome> {
    const { replica } = this.#mustRun();
    const data = encodeCommand(request);
    if (data.length > ENTRY_BYTES_MAX) {
      const text = `the write has ${data.length} bytes, more than ${ENTRY_BYTES_MAX}`;
      throw new ClusterError('invalid', text);
    }
    return this.#proposals.submit({
      id: request.id,
      send: (): boolean => replica.propose(data),
      timeoutMs: options.timeoutMs ?? UPDATE_MS,
      signal: options.signal,
    });
  }

  #checkRemoved(): void {
    if (this.#machine.removedMembers.has(this.#options.self.raftId)) this.#tellRemoved();
  }

  #tellRemoved(): void {
    if (this.#removedTold) return;
    this.#removedTold = true;
    this.#options.logger.warn('this manager was removed from the group');
    this.#options.onRemoved?.();
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
    this.#proposals.failAll(error);
    this.#reads.failAll(error);
  }
}

type NewRequest = { readonly id: RequestId; readonly now: InstantMs; readonly base: Version };

interface Running {
  readonly replica: Replica;
  readonly outbox: Outbox;
  readonly inbox: Inbox;
  readonly snapshotter: Snapshotter;
  readonly lock: Disposable;
  timer: Timer | undefined;
  listening: Disposable | undefined;
}

function committed(outcome: Outcome): Committed<void> {
  if (outcome.refusal) throw refusalError(outcome.refusal);
  return { value: undefined, index: outcome.index };
}
