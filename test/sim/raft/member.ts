import type { ConfState, Entry, Index, Message, NodeId, Ready, Snapshot, Storage } from 'raft-js';
import {
  decodeConfChange,
  hasCode,
  LOCAL_APPEND,
  LOCAL_APPLY,
  RaftError,
  type RawNode,
} from 'raft-js';
import type { Checker } from './checker.ts';
import type { Answer, Clients } from './clients.ts';
import { type Disk, DiskStorage } from './disk.ts';
import { Machine } from './machine.ts';
import type { Endpoint, Network } from './network.ts';
import type { Plan } from './plan.ts';
import { TICK } from './plan.ts';
import type { Random } from './random.ts';
import type { Schedule } from './schedule.ts';

export interface World {
  readonly plan: Plan;
  readonly random: Random;
  readonly schedule: Schedule;
  readonly network: Network;
  readonly checker: Checker;
  readonly clients: Clients;
  readonly newNode: (id: NodeId, storage: Storage, applied: Index) => RawNode;
}

interface Read {
  readonly name: string;
  readonly answer: Answer;
  /** What was committed somewhere when it began. */
  readonly floor: Index;
}

/** Errors that a caller has to expect. */
const EXPECTED = ['ErrProposalDropped', 'ErrStepPeerNotFound'] as const;
const KEPT_ENTRIES_MAX = 6;

/** One node with its disk and its state machine: what an owner of a RawNode does, and how it can fail. */
export class Member implements Endpoint {
  readonly id: NodeId;
  readonly disk: Disk;
  node: RawNode | undefined;
  readonly machine = new Machine();
  confState: ConfState;
  /** Clients that wait for what becomes of their proposal. */
  readonly calls = new Map<number, Answer>();
  readonly #world: World;
  readonly #initial: Snapshot;
  #incarnation = 0;
  #pausedUntil = 0;
  #appendWork: Message[] = [];
  #applyWork: Message[] = [];
  readonly #reads = new Map<number, Read>();
  /** Know the index that must be applied first. */
  #confirmed: (Read & { readonly index: Index })[] = [];
  #readCount = 0;
  readonly #clockRate: number;
  #commitSeen: Index = 0;
  readonly #storage: DiskStorage;

  constructor(id: NodeId, disk: Disk, initial: Snapshot, world: World) {
    this.id = id;
    this.disk = disk;
    this.#initial = initial;
    this.#storage = new DiskStorage(disk);
    this.confState = initial.confState;
    this.#world = world;
    this.#clockRate = world.plan.steadyClocks ? 1 : world.random.between(0.8, 1.25);
    if (initial.confState.voters.includes(id)) {
      disk.write({ snapshot: initial, entries: [], hardState: null });
      disk.sync();
    }
    world.network.endpoints.set(id, this);
  }

  start(): void {
    const snapshot = this.disk.view.snapshot();
    this.#incarnation++;
    this.#appendWork = [];
    this.#applyWork = [];
    this.#pausedUntil = 0;
    this.#install(snapshot.index === 0 ? { ...this.#initial, ...EMPTY } : snapshot);
    this.#world.checker.started(this.id);
    this.node = this.#world.newNode(this.id, this.#storage, snapshot.index);
    this.#commitSeen = this.node.status().commit;
    this.#tickLater(this.#incarnation);
    this.#work();
  }

  crash(): void {
    if (this.node === undefined) return;
    this.node = undefined;
    this.#incarnation++;
    this.calls.clear();
    this.#reads.clear();
    this.#confirmed = [];
    this.disk.crash(this.#world.random);
  }

  pause(duration: number): void {
    this.#pausedUntil = this.#world.schedule.now + duration;
  }

  /**
   * Calls the node and does the work that follows.
   * @returns false when it did not take it: a dropped proposal or a message of a stranger, which is no failure
   */
  use(call: (node: RawNode) => void): boolean {
    const { node } = this;
    if (node === undefined) return false;
    let taken = true;
    try {
      call(node);
    } catch (error) {
      if (!EXPECTED.some((code) => hasCode(error, code))) throw error;
      taken = false;
    }
    this.#world.checker.observe(node.status(), this.disk, () => this.#queued());
    this.#work();
    return taken;
  }

  receive(m: Message): void {
    this.#whenAwake(() => this.use((node) => node.step(m)));
  }

  lost(m: Message): void {
    if (m.type === 'MsgSnap') this.use((node) => node.reportSnapshot(m.to, false));
    else if (m.type === 'MsgApp') this.use((node) => node.reportUnreachable(m.to));
  }

  arrived(m: Message): void {
    if (m.type === 'MsgSnap') this.use((node) => node.reportSnapshot(m.to, true));
  }

  read(name: string, answer: Answer): void {
    const key = this.#readCount++;
    this.#reads.set(key, { name, answer, floor: this.#world.checker.committed });
    const ctx = new Uint8Array([this.#incarnation & 255, key >> 8, key & 255]);
    this.use((node) => node.readIndex(ctx));
  }

  /** Takes a snapshot of the state machine and drops old entries. */
  takeSnapshot(): void {
    const { index } = this.machine;
    if (this.node === undefined || index <= this.disk.view.snapshot().index) return;
    const term = this.disk.view.term(index);
    const { confState } = this;
    this.#storage.snapshotWanted = false;
    const data = this.machine.encode();
    const compactTo = index - this.#world.random.below(KEPT_ENTRIES_MAX);
    this.disk.takeSnapshot({ index, term, confState, data }, compactTo);
    this.disk.sync();
    this.#world.checker.counts.snapshots++;
  }

  #work(): void {
    while (this.node?.hasReady() === true) {
      const ready = this.node.ready();
      if (this.#world.plan.config.asyncStorageWrites === true) this.#send(ready.messages);
      else if (!this.#workThrough(this.node, ready)) return;
      this.#takeReads(ready);
    }
    if (this.#storage.snapshotWanted) this.takeSnapshot();
  }

  /** The order of a Ready without async storage writes. False when the node crashed in the middle. */
  #workThrough(node: RawNode, ready: Ready): boolean {
    this.#write(ready);
    if (!this.#world.network.healed && this.#world.random.chance(this.#world.plan.crashInWrite)) {
      this.crash();
      return false;
    }
    if (ready.mustSync || ready.snapshot !== null) this.disk.sync();
    this.#checkCommit(node);
    this.#send(ready.messages);
    this.#apply(ready.committedEntries);
    node.advance(ready);
    this.#world.checker.observe(node.status(), this.disk, () => this.#queued());
    return true;
  }

  #send(messages: readonly Message[]): void {
    for (const m of messages) {
      if (m.to === LOCAL_APPEND) this.#queueAppend(m);
      else if (m.to === LOCAL_APPLY) this.#queueApply(m);
      else {
        this.#world.checker.sends(m, this.disk);
        this.#world.network.send(m);
      }
    }
  }

  #write(work: Pick<Ready, 'snapshot' | 'entries' | 'hardState'>): void {
    const { checker } = this.#world;
    const first = work.entries[0];
    const status = this.node?.status();
    this.disk.write({ snapshot: work.snapshot, entries: [], hardState: null });
    if (first !== undefined) {
      checker.written(work.entries, this.disk.view.term(first.index - 1));
      if (status?.raftState === 'StateLeader')
        checker.leaderAppends(status, work.entries, this.disk);
    }
    if (work.hardState !== null) checker.remembers(this.id, work.hardState, this.disk);
    this.disk.write({ ...work, snapshot: null });
    if (status?.raftState === 'StateLeader' && work.entries.some((e) => e.type !== 'EntryNormal')) {
      checker.proposedConfChange(status, this.disk);
    }
    if (work.snapshot !== null) this.#install(work.snapshot);
    if (work.hardState !== null) checker.commits(work.hardState, this.disk);
  }

  #checkCommit(node: RawNode): void {
    const status = node.status();
    if (status.commit <= this.#commitSeen) return;
    this.#commitSeen = status.commit;
    if (status.raftState !== 'StateLeader') return;
    this.#world.checker.leaderCommits(status);
  }

  #install(snapshot: Snapshot): void {
    const { checker } = this.#world;
    this.machine.restore(snapshot);
    this.confState = snapshot.confState;
    if (snapshot.index > 1) {
      checker.applied(snapshot.index, this.machine.hash);
      checker.restored(snapshot);
    }
    this.#answerReads();
  }

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      // A snapshot may have overtaken entries that wait to be applied.
      const { index } = this.machine;
      if (entry.index <= index) continue;
      if (entry.index !== index + 1) {
        throw new RaftError('ErrInvariant', `applies ${entry.index} after ${index}`);
      }
      this.#answerCall(entry);
      this.#answerReads();
      this.#world.checker.applied(entry.index, this.machine.hash);
      if (entry.type === 'EntryNormal') continue;
      const config = this.node?.applyConfChange(decodeConfChange(entry), entry.index) ?? null;
      if (config === null) continue;
      this.confState = config;
      this.#world.checker.configured(entry.index, config);
    }
  }

  #takeReads(ready: Ready): void {
    for (const { index, requestCtx } of ready.readStates) {
      const [incarnation, high, low] = requestCtx;
      if (incarnation !== (this.#incarnation & 255)) continue;
      const key = (high ?? 0) * 256 + (low ?? 0);
      const read = this.#reads.get(key);
      if (read === undefined) continue;
      this.#reads.delete(key);
      this.#world.checker.reads(this.id, read.floor, index);
      this.#confirmed.push({ ...read, index });
    }
    this.#answerReads();
  }

  #answerCall(entry: Entry): void {
    const done = this.machine.apply(entry);
    if (done === undefined) return;
    this.#world.clients.applied(done.call, entry.index);
    this.calls.get(done.call)?.(done.output, entry.index);
    this.calls.delete(done.call);
  }

  #answerReads(): void {
    if (this.#confirmed.length === 0) return;
    const { index } = this.machine;
    for (const read of this.#confirmed) {
      if (read.index <= index) read.answer(this.machine.read(read.name), index);
    }
    this.#confirmed = this.#confirmed.filter((read) => read.index > index);
  }

  #queued(): readonly Entry[] {
    return this.#appendWork.flatMap((m) => m.entries ?? []);
  }

  #queueAppend(m: Message): void {
    if (this.node !== undefined) this.#checkCommit(this.node);
    this.#appendWork.push(m);
    if (this.#appendWork.length === 1) this.#appendLater(this.#incarnation);
  }

  /** The append thread: durable before the responses leave, one message after the other or all that wait at once. */
  #appendLater(incarnation: number): void {
    const delay = this.#delay(this.#world.plan.diskDelayMax);
    this.#world.schedule.after(delay, () => {
      if (incarnation !== this.#incarnation) return;
      const together = this.#world.network.healed || this.#world.random.chance(0.5);
      const batch = this.#appendWork.slice(0, together ? undefined : 1);
      for (const m of batch) this.#writeMessage(m);
      this.#world.schedule.after(delay / 2, () => this.#finishAppend(batch, incarnation));
    });
  }

  #writeMessage(m: Message): void {
    const { term, vote = 0, commit = 0 } = m;
    const hardState = term === undefined ? null : { term, vote, commit };
    this.#write({ entries: m.entries ?? [], snapshot: m.snapshot ?? null, hardState });
  }

  #finishAppend(batch: readonly Message[], incarnation: number): void {
    if (incarnation !== this.#incarnation) return;
    this.disk.sync();
    for (const m of batch) this.#respond(m);
    if (incarnation !== this.#incarnation) return;
    this.#appendWork.splice(0, batch.length);
    if (this.#appendWork.length > 0) this.#appendLater(incarnation);
  }

  #queueApply(m: Message): void {
    this.#applyWork.push(m);
    if (this.#applyWork.length === 1) this.#applyLater(this.#incarnation);
  }

  #applyLater(incarnation: number): void {
    this.#world.schedule.after(this.#delay(this.#world.plan.applyDelayMax), () => {
      const m = this.#applyWork[0];
      if (incarnation !== this.#incarnation || m === undefined) return;
      this.use(() => this.#apply(m.entries ?? []));
      this.#respond(m);
      if (incarnation !== this.#incarnation) return;
      this.#applyWork.shift();
      if (this.#applyWork.length > 0) this.#applyLater(incarnation);
    });
  }

  #delay(max: number): number {
    return this.#world.random.between(0, this.#world.network.healed ? Math.min(max, 1) : max);
  }

  #respond(m: Message): void {
    for (const response of m.responses ?? []) {
      if (response.to === this.id) {
        this.use((node) => node.step(response));
        continue;
      }
      this.#world.checker.sends(response, this.disk);
      this.#world.network.send(response);
    }
  }

  #tickLater(incarnation: number): void {
    const { plan, network, random } = this.#world;
    const jitter = plan.steadyClocks ? 1 : random.between(0.9, 1.1);
    const length = TICK * (network.healed ? 1 : this.#clockRate) * jitter;
    this.#world.schedule.after(length, () => {
      if (incarnation !== this.#incarnation) return;
      this.#whenAwake(() => {
        if (incarnation !== this.#incarnation) return;
        this.use((node) => node.tick());
        this.#tickLater(incarnation);
      });
    });
  }

  #whenAwake(act: () => void): void {
    const wait = this.#pausedUntil - this.#world.schedule.now;
    if (wait <= 0) act();
    else this.#world.schedule.after(wait, act);
  }
}

const EMPTY = { index: 0, term: 0, data: new Uint8Array(0) };
