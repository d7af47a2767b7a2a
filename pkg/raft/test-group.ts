import { decodeConfChange } from './conf-change-codec.ts';
import type { Config } from './config.ts';
import { hasCode } from './error.ts';
import type { ConfState, Entry, Message, NodeId } from './message.ts';
import { EMPTY_CONF_STATE, LOCAL_APPEND, LOCAL_APPLY } from './message.ts';
import { RawNode } from './raw-node.ts';
import type { ReadState, Ready } from './ready.ts';
import { MemoryStorage } from './storage.ts';

export interface TestMember {
  readonly id: NodeId;
  readonly node: RawNode;
  readonly storage: MemoryStorage;
  readonly applied: Entry[];
  readonly reads: ReadState[];
  /** Work handed out for the local threads, with async storage writes. */
  readonly appendWork: Message[];
  readonly applyWork: Message[];
}

export interface GroupOptions {
  readonly voters: readonly NodeId[];
  readonly learners?: readonly NodeId[] | undefined;
  /** Nodes that run but are no members yet. */
  readonly strangers?: readonly NodeId[] | undefined;
  readonly config?: Partial<Config> | undefined;
}

type Filter = (m: Message) => boolean;

/** For tests: nodes in one process, with messages that are delivered, held back or thrown away on demand. */
export class TestGroup {
  readonly members = new Map<NodeId, TestMember>();
  /** Everything that was sent, lost or not. */
  readonly sent: Message[] = [];
  readonly #confState: ConfState;
  readonly #config: Partial<Config>;
  #queue: Message[] = [];
  #pass: Filter = everything;

  constructor(options: GroupOptions) {
    const { voters, learners = [], strangers = [], config = {} } = options;
    this.#confState = { ...EMPTY_CONF_STATE, voters, learners };
    this.#config = config;
    for (const id of [...voters, ...learners]) this.#add(id, true);
    for (const id of strangers) this.#add(id, false);
  }

  member(id: NodeId): TestMember {
    const member = this.members.get(id);
    if (member === undefined) throw new Error(`no member ${id}`);
    return member;
  }

  node(id: NodeId): RawNode {
    return this.member(id).node;
  }

  /** Starts the node again from what its storage has, with nothing in memory. */
  restart(id: NodeId, config: Partial<Config> = {}): void {
    this.#start(id, this.member(id).storage, config);
  }

  /** From now on messages for which `pass` is false are lost. */
  filter(pass: Filter): void {
    this.#pass = pass;
  }

  /** Makes `id` leader and settles. */
  elect(id: NodeId): void {
    this.node(id).campaign();
    this.settle();
  }

  propose(id: NodeId, text: string): void {
    this.node(id).propose(new TextEncoder().encode(text));
  }

  tick(id: NodeId, count: number): void {
    for (let i = 0; i < count; i++) this.node(id).tick();
  }

  /** Ticks of all nodes, each followed by everything that comes of it. */
  run(ticks: number): void {
    for (let i = 0; i < ticks; i++) {
      for (const { node } of this.members.values()) node.tick();
      this.settle();
    }
  }

  /** Works off Readies, deliveries and local threads until nothing is left. */
  settle(): void {
    for (let busy = true; busy; ) {
      busy = false;
      for (const member of this.members.values()) {
        while (member.node.hasReady()) {
          this.work(member.id);
          busy = true;
        }
        busy = this.appendThread(member.id) || this.applyThread(member.id) || busy;
      }
      busy = this.deliver() || busy;
    }
  }

  /** One Ready of `id`; its messages wait for `deliver`. */
  work(id: NodeId): Ready {
    const member = this.member(id);
    const ready = member.node.ready();
    member.reads.push(...ready.readStates);
    if (this.#config.asyncStorageWrites === true) {
      for (const m of ready.messages) this.#dispatch(member, m);
      return ready;
    }
    store(member, ready);
    for (const m of ready.messages) this.#send(m);
    this.#apply(member, ready.committedEntries);
    member.node.advance(ready);
    return ready;
  }

  /** Delivers what waits, except what the filter refuses. False when nothing waited. */
  deliver(): boolean {
    const queue = this.#queue;
    this.#queue = [];
    for (const m of queue) if (this.#pass(m)) this.#step(m);
    return queue.length > 0;
  }

  /** Makes one MsgStorageAppend durable and delivers its responses. False when there is none. */
  appendThread(id: NodeId): boolean {
    const member = this.member(id);
    const m = member.appendWork.shift();
    if (m === undefined) return false;
    const { term, vote = 0, commit = 0, entries = [], snapshot = null } = m;
    const hardState = term === undefined ? null : { term, vote, commit };
    store(member, { hardState, entries, snapshot });
    this.#respond(m);
    return true;
  }

  applyThread(id: NodeId): boolean {
    const member = this.member(id);
    const m = member.applyWork.shift();
    if (m === undefined) return false;
    this.#apply(member, m.entries ?? []);
    this.#respond(m);
    return true;
  }

  /** Texts of the applied entries that have any. */
  appliedTexts(id: NodeId): string[] {
    return this.member(id)
      .applied.filter((entry) => entry.type === 'EntryNormal' && (entry.data?.length ?? 0) > 0)
      .map((entry) => new TextDecoder().decode(entry.data ?? undefined));
  }

  #add(id: NodeId, initialized: boolean): void {
    const storage = new MemoryStorage();
    if (initialized) {
      const data = new Uint8Array(0);
      storage.applySnapshot({ index: 1, term: 1, confState: this.#confState, data });
    }
    this.#start(id, storage, {});
  }

  #start(id: NodeId, storage: MemoryStorage, config: Partial<Config>): void {
    const applied = storage.firstIndex() - 1;
    const node = new RawNode({
      random: (): number => (id % 5) / 5,
      electionTick: 5,
      ...this.#config,
      ...config,
      id,
      storage,
      applied,
    });
    const lists = { applied: [], reads: [], appendWork: [], applyWork: [] };
    this.members.set(id, { id, node, storage, ...lists });
  }

  #step(m: Message): void {
    try {
      this.members.get(m.to)?.node.step(m);
    } catch (error) {
      // A late answer of a removed member.
      if (!hasCode(error, 'ErrStepPeerNotFound')) throw error;
    }
  }

  #dispatch(member: TestMember, m: Message): void {
    if (m.to === LOCAL_APPEND) member.appendWork.push(m);
    else if (m.to === LOCAL_APPLY) member.applyWork.push(m);
    else this.#send(m);
  }

  #respond(m: Message): void {
    for (const response of m.responses ?? []) this.#send(response);
  }

  #send(m: Message): void {
    this.sent.push(m);
    this.#queue.push(m);
  }

  #apply(member: TestMember, entries: readonly Entry[]): void {
    for (const entry of entries) {
      member.applied.push(entry);
      if (entry.type === 'EntryNormal') continue;
      member.node.applyConfChange(decodeConfChange(entry), entry.index);
    }
  }
}

function everything(): boolean {
  return true;
}

function store(
  { storage }: TestMember,
  work: Pick<Ready, 'snapshot' | 'entries' | 'hardState'>,
): void {
  if (work.snapshot !== null) storage.applySnapshot(work.snapshot);
  storage.append(work.entries);
  if (work.hardState !== null) storage.setHardState(work.hardState);
}
