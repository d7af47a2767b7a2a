import type {
  ConfState,
  Entry,
  HardState,
  Index,
  Message,
  NodeId,
  Snapshot,
  Status,
} from 'raft-js';
import { type Disk, holds } from './disk.ts';

/** Entries behind the commit index that are compared again each time. */
const RECHECKED = 8;

/** Something happened that Raft excludes. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

interface Observed {
  readonly term: number;
  readonly commit: Index;
  readonly raftState: Status['raftState'];
}

/** What an outside observer who sees every node knows, and what must hold for all of it. */
export class Checker {
  /** The highest index that any node knows to be committed. */
  committed: Index = 0;
  readonly #disks: ReadonlyMap<NodeId, Disk>;
  readonly #committedTerm = new Map<Index, number>();
  /** The term in which an entry was first known to be committed, which may be later than the entry's own. */
  readonly #committedIn = new Map<Index, number>();
  readonly #entryAt = new Map<string, string>();
  readonly #leaderOf = new Map<number, NodeId>();
  readonly #voteOf = new Map<string, NodeId>();
  readonly #stateAt = new Map<Index, number>();
  readonly #configAt = new Map<Index, string>();
  readonly #seen = new Map<NodeId, Observed>();
  /** How often each thing happened, so that a run that tests nothing is noticed. */
  readonly counts = { leaders: 0, commits: 0, reads: 0, configs: 0, snapshots: 0 };

  constructor(disks: ReadonlyMap<NodeId, Disk>) {
    this.#disks = disks;
  }

  /** A node starts, perhaps again: what it knew in memory is gone. */
  started(id: NodeId): void {
    this.#seen.delete(id);
  }

  /** Looks at a node after it did something. `queued`: entries of its log that wait to be written. */
  observe(status: Status, disk: Disk, queued: () => readonly Entry[]): void {
    const before = this.#seen.get(status.id);
    const { term, commit, applied, raftState } = status;
    this.#require(applied <= commit, `${status.id} applied ${applied}, committed is ${commit}`);
    this.#seen.set(status.id, { term, commit, raftState });
    if (before !== undefined) {
      this.#require(term >= before.term, `term of ${status.id} went back to ${term}`);
      this.#require(commit >= before.commit, `commit of ${status.id} went back to ${commit}`);
      const campaigns = raftState === 'StateCandidate' || raftState === 'StatePreCandidate';
      if (campaigns && (before.raftState !== raftState || before.term !== term)) {
        this.#mayCampaign(status, disk);
      }
    }
    if (raftState === 'StateLeader') this.#leads(status, disk, queued);
  }

  /** Entries are written to the log of some node, each behind the one before. */
  written(entries: readonly Entry[], termBefore: number): void {
    let previous = termBefore;
    for (const { index, term, type, data } of entries) {
      const content = `${previous} ${type} ${data?.join(' ') ?? ''}`;
      this.#same(this.#entryAt, `${index}/${term}`, content, `entry ${index} of term ${term}`);
      this.#require(term >= previous, `terms in the log go back at ${index}`);
      previous = term;
    }
  }

  /** A leader is about to write entries of its own term: they go behind everything it has. */
  leaderAppends({ id, term }: Status, entries: readonly Entry[], disk: Disk): void {
    const own = entries.find((entry) => entry.term === term);
    if (own === undefined) return;
    const before = entries.filter((entry) => entry.term !== term).length;
    const end = disk.view.lastIndex() + before;
    this.#require(own.index > end, `leader ${id} replaces entry ${own.index} of its log`);
  }

  /** A node is about to write its hard state: nothing of the one before is taken back. */
  remembers(id: NodeId, { term, vote, commit }: HardState, disk: Disk): void {
    const { hardState: before } = disk.view.initialState();
    if (before === null) return;
    this.#require(term >= before.term, `stored term of ${id} goes back to ${term}`);
    this.#require(commit >= before.commit, `stored commit of ${id} goes back to ${commit}`);
    const kept = term > before.term || before.vote === 0 || vote === before.vote;
    this.#require(kept, `${id} voted for ${before.vote} in term ${term}, then for ${vote}`);
  }

  /** A leader wrote a configuration change: it must have applied the one before. */
  proposedConfChange({ id, term, applied }: Status, disk: Disk): void {
    const from = Math.max(applied + 1, disk.view.firstIndex());
    const open = disk.view
      .entries(from, disk.view.lastIndex() + 1, Number.POSITIVE_INFINITY)
      .filter((entry) => entry.type !== 'EntryNormal' && entry.term === term);
    this.#require(
      open.length <= 1,
      `${id} proposed ${open.length} configuration changes at a time`,
    );
  }

  /** A node is about to make a commit index known. */
  commits({ term, commit }: HardState, disk: Disk): void {
    const { view } = disk;
    this.#require(commit <= view.lastIndex(), `commit ${commit} without the entry`);
    const from = Math.min(this.committed, commit - RECHECKED);
    for (let i = Math.max(from, view.firstIndex()); i <= commit; i++) {
      this.#same(this.#committedTerm, i, view.term(i), `committed entry ${i}`);
      this.#committedIn.set(i, Math.min(term, this.#committedIn.get(i) ?? term));
    }
    if (commit > this.committed) this.counts.commits += commit - this.committed;
    this.committed = Math.max(this.committed, commit);
  }

  /** The leader advanced its commit index: a quorum must have an entry of its term there, safe from crashes. */
  leaderCommits(leader: Status): void {
    const { id, term, commit } = leader;
    for (const half of [leader.config.voters, leader.config.votersOutgoing]) {
      const count = half.filter((voter) => {
        const disk = this.#disks.get(voter);
        return disk !== undefined && holds(disk.durable, commit, term);
      }).length;
      const enough = half.length === 0 || count > half.length / 2;
      this.#require(enough, `${id} committed ${commit}, durable on ${count} of ${half.join()}`);
    }
  }

  /** A node is about to send. What it promises must be durable, or durably overtaken by a later term. */
  sends(m: Message, disk: Disk): void {
    if (m.reject === true) return;
    const { hardState } = disk.durable.initialState();
    const { term: durableTerm = 0, vote = 0 } = hardState ?? {};
    const { from, to, term = 0, index = 0 } = m;
    if (m.type === 'MsgVoteResp') {
      const voted = durableTerm > term || (durableTerm === term && vote === to);
      this.#require(voted, `${from} sends a vote that is not durable`);
      this.#same(this.#voteOf, `${from} ${term}`, to, `vote of ${from} in term ${term}`);
    }
    if (m.type === 'MsgAppResp') {
      this.#require(durableTerm >= term, `${from} answers in a term that is not durable`);
      const durable = durableTerm > term || disk.durable.lastIndex() >= index;
      this.#require(durable, `${from} acknowledges ${index} before it is durable`);
    }
    if (m.type === 'MsgHeartbeat') this.#sendsCommit(m);
    if (m.type === 'MsgSnap' && m.snapshot != null) this.#sendsSnapshot(to, m.snapshot);
  }

  /** A node applied the entry at `index`. */
  applied(index: Index, state: number): void {
    this.#same(this.#stateAt, index, state, `state at ${index}`);
  }

  /** A node begins with a snapshot: its configuration is the one that the entries up to there made. */
  restored({ index, confState }: Snapshot): void {
    let at = 0;
    for (const changed of this.#configAt.keys()) if (changed <= index && changed > at) at = changed;
    const known = this.#configAt.get(at);
    const same = known === undefined || known === JSON.stringify(confState);
    this.#require(same, `snapshot at ${index} has not the configuration of ${at}`);
  }

  configured(index: Index, config: ConfState): void {
    this.counts.configs++;
    this.#require(config.voters.length > 0, `no voters at ${index}`);
    this.#same(this.#configAt, index, JSON.stringify(config), `configuration at ${index}`);
  }

  /** A read that began when `floor` was committed may be answered from `index`. */
  reads(id: NodeId, floor: Index, index: Index): void {
    this.counts.reads++;
    this.#require(
      index >= floor,
      `stale read on ${id}: ${index}, but ${floor} was committed before`,
    );
  }

  /** A heartbeat tells a member only of commits that it has acknowledged. */
  #sendsCommit({ from, to, commit = 0 }: Message): void {
    const disk = this.#disks.get(to);
    const term = this.#committedTerm.get(commit);
    if (disk === undefined || term === undefined) return;
    const has = holds(disk.durable, commit, term);
    this.#require(has, `heartbeat of ${from} commits ${commit} on ${to}, which lacks it`);
  }

  #sendsSnapshot(to: NodeId, { index, term, confState }: Snapshot): void {
    const { voters, votersOutgoing, learners } = confState;
    const knows = [...voters, ...votersOutgoing, ...learners].includes(to);
    this.#require(knows, `snapshot at ${index} is sent to ${to}, which it does not know`);
    if (index > 1) this.#same(this.#committedTerm, index, term, `snapshot at ${index}`);
  }

  #leads(status: Status, disk: Disk, queued: () => readonly Entry[]): void {
    const { id, term } = status;
    if (!this.#leaderOf.has(term)) {
      this.counts.leaders++;
      this.#same(this.#voteOf, `${id} ${term}`, id, `vote of ${id} in term ${term}`);
      this.#wasElected(status);
      for (let i = this.committed; i >= disk.view.firstIndex(); i--) {
        // An election may end after a later one has led to commits.
        const later = (this.#committedIn.get(i) ?? term) >= term;
        const entryTerm = this.#committedTerm.get(i) ?? 0;
        const inMemory = queued().findLast((entry) => entry.index === i)?.term === entryTerm;
        const has = later || inMemory || holds(disk.view, i, entryTerm);
        this.#require(has, `leader ${id} of term ${term} lacks committed entry ${i}`);
      }
    }
    this.#same(this.#leaderOf, term, id, `leader of term ${term}`);
    for (const [member, { match, next }] of status.progress) {
      this.#require(match < next, `match ${match}, next ${next} of ${member} at ${id}`);
    }
  }

  #wasElected({ id, term, config }: Status): void {
    for (const half of [config.voters, config.votersOutgoing]) {
      const votes = half.filter((voter) => this.#voteOf.get(`${voter} ${term}`) === id).length;
      const enough = half.length === 0 || votes > half.length / 2;
      this.#require(enough, `${id} leads term ${term} with ${votes} votes of ${half.join()}`);
    }
  }

  #mayCampaign(status: Status, disk: Disk): void {
    const from = Math.max(status.applied + 1, disk.view.firstIndex());
    const to = Math.min(status.commit, disk.view.lastIndex());
    if (from > to) return;
    const unapplied = disk.view.entries(from, to + 1, Number.POSITIVE_INFINITY);
    const normal = unapplied.every((entry) => entry.type === 'EntryNormal');
    this.#require(normal, `${status.id} campaigns before it applied a configuration change`);
  }

  #same<K, V>(known: Map<K, V>, key: K, value: V, what: string): void {
    const first = known.get(key);
    if (first === undefined) known.set(key, value);
    else this.#require(first === value, `${what} is ${value}, but was ${first}`);
  }

  #require(holdsTrue: boolean, what: string): void {
    if (!holdsTrue) throw new Violation(what);
  }
}
