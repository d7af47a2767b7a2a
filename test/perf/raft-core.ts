/**
 * Processor time of the consensus core per committed entry of 256 bytes: three nodes in one process, all of them
 * counted, messages handed over as objects, storage in memory, nothing else. Proposals one by one and 64 at a time:
 * `npx tsx --conditions=source test/perf/raft-core.ts [--runs=5] [--entries=100000]`.
 */
import { LOCAL_APPEND, LOCAL_APPLY, MemoryStorage, type Message, RawNode } from 'raft-js';
import { option, report } from './measure.ts';

const IDS = [1, 2, 3];
const BATCHES = [1, 64];
const DATA = new Uint8Array(256);
/** Entries kept behind the newest one, so that memory stays small and every log is compacted as a store does it. */
const KEPT = 5_000;
const runs = option('runs', 5);
const entries = option('entries', 100_000);

class Member {
  readonly id: number;
  readonly storage = new MemoryStorage();
  readonly node: RawNode;
  applied = 0;

  constructor(id: number) {
    this.id = id;
    const confState = {
      voters: IDS,
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    };
    this.storage.applySnapshot({ index: 1, term: 1, confState, data: new Uint8Array(0) });
    this.node = new RawNode({
      id,
      storage: this.storage,
      random: (): number => id / 10,
      electionTick: 10,
      heartbeatTick: 1,
      applied: 1,
      asyncStorageWrites: true,
      maxSizePerMsg: 512 * 1024,
      maxInflightMsgs: 256,
      checkQuorum: true,
      preVote: true,
    });
  }

  /** Does what the node asks for; messages to others go to `post`. */
  work(post: (message: Message) => void): boolean {
    if (!this.node.hasReady()) return false;
    for (const message of this.node.ready().messages) {
      if (message.to === LOCAL_APPEND) this.#store(message, post);
      else if (message.to === LOCAL_APPLY) this.#apply(message);
      else post(message);
    }
    return true;
  }

  #store(message: Message, post: (message: Message) => void): void {
    if (message.entries) this.storage.append(message.entries);
    for (const response of message.responses ?? []) {
      if (response.to === this.id) this.node.step(response);
      else post(response);
    }
  }

  #apply(message: Message): void {
    const last = message.entries?.at(-1)?.index ?? this.applied;
    this.applied = last;
    for (const response of message.responses ?? []) this.node.step(response);
    if (last - this.storage.firstIndex() > 2 * KEPT) this.storage.compact(last - KEPT);
  }
}

class Group {
  readonly members = IDS.map((id) => new Member(id));
  #mail: Message[] = [];

  constructor() {
    this.leader.node.campaign();
    this.settle();
  }

  get leader(): Member {
    return this.members[0] as Member;
  }

  /** Until nobody has anything to do. */
  settle(): void {
    const post = (message: Message): void => void this.#mail.push(message);
    for (let busy = true; busy; ) {
      busy = false;
      for (const member of this.members) busy = member.work(post) || busy;
      const mail = this.#mail;
      this.#mail = [];
      for (const message of mail) this.members[message.to - 1]?.node.step(message);
    }
  }
}

/** Microseconds per entry. */
function measure(batch: number): number {
  const group = new Group();
  const data = Array.from({ length: batch }, () => DATA);
  const rounds = Math.ceil(entries / batch);
  const first = group.leader.applied;
  const before = process.cpuUsage();
  for (let round = 0; round < rounds; round++) {
    group.leader.node.proposeAll(data);
    group.settle();
  }
  const { user, system } = process.cpuUsage(before);
  for (const { id, applied } of group.members) {
    if (applied - first !== rounds * batch) throw new Error(`member ${id} applied ${applied}`);
  }
  return (user + system) / (rounds * batch);
}

for (const batch of BATCHES) {
  measure(batch);
  const values = Array.from({ length: runs }, () => measure(batch));
  report(`core time per entry, ${batch} at a time, three nodes`, 'us', values);
}
