import type { Clock, Disk, Logger, Random } from '../io/index.ts';
import type {
  AppliedChange,
  Change,
  ClusterId,
  DraftTables,
  InstantMs,
  NodeId,
  Version,
  View,
} from '../model/index.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { PeerAddress, Transport } from './transport.ts';

/** A manager as the raft group knows it. */
export interface Member extends PeerAddress {
  readonly nodeId: NodeId;
}

export interface MemberStatus extends Member {
  readonly role: 'voter' | 'learner';
  readonly leader: boolean;
  /** Something was heard from it within the last election timeouts; always true for this manager itself. */
  readonly reachable: boolean;
  /** Since something was heard from it; undefined for this manager itself and after its connection was closed. */
  readonly silentMs?: number | undefined;
}

/** Sizes and times of one replica. Everything has a default that suits production. */
export interface Tuning {
  /** Milliseconds of one raft tick (100). */
  readonly tickMs: number;
  /** Ticks without a leader until a member campaigns (10; the timeout is drawn from [n, 2n)). */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** A snapshot is taken after this many entries (10 000) … */
  readonly snapshotEntries: number;
  /** … or this many bytes of entries (32 MiB), whichever comes first. */
  readonly snapshotBytes: number;
  /** Entries kept in memory behind a snapshot for slow followers (500), within `logBytesMax`. */
  readonly trailingEntries: number;
  /** Bytes of log kept in memory (64 MiB). */
  readonly logBytesMax: number;
  /** Bytes preallocated for one WAL segment (16 MiB). */
  readonly segmentBytes: number;
  /** Outcomes remembered for exactly-once (10 000). Must be the same on all members. */
  readonly requestsMax: number;
  /** Changes remembered for who resumes `changes` (10 000). */
  readonly historyChanges: number;
}

export interface StoreOptions {
  /** Owned by the store: `wal/`, `snap/` and the lock live here. */
  readonly directory: string;
  readonly clusterId: ClusterId;
  /** This manager. The raft id must be a new one whenever the directory is. */
  readonly self: Member;
  /**
   * How an EMPTY directory begins; a directory that has a log just continues. `bootstrap`: first member of a new group.
   * `join`: waits to be added by `addMember` on the leader; `members` is who may write to it.
   */
  readonly begin:
    | { readonly kind: 'bootstrap' }
    | { readonly kind: 'join'; readonly members: readonly Member[] };
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The disk failed or an invariant broke: the process must exit and recover from its files. Called once. */
  readonly onFatal: (error: Error) => void;
  /** This manager was removed from the group: stop the store and forget the directory. Called once. */
  readonly onRemoved?: (() => void) | undefined;
  readonly disk?: Disk | undefined;
  /** Encryption of the files. Absent: they are plain. */
  readonly codec?: FrameCodec | undefined;
  readonly tuning?: Partial<Tuning> | undefined;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until an outcome that is still unknown is given up (20 000; barrier: 2 500). */
  readonly timeoutMs?: number | undefined;
}

export interface ProposeOptions extends CallOptions {
  /**
   * What is written follows from leading: it counts in the term in which it was asked for, or not at all. Without this
   * a write that a leader could not commit reaches its successor, which has decided meanwhile (false).
   */
  readonly asLeader?: boolean | undefined;
}

export interface UpdateOptions extends ProposeOptions {
  /**
   * Wait for a barrier before `work` runs, so that it sees everything written before (false). Without it a refusal may be about
   * an object that is gone elsewhere already.
   */
  readonly linearizable?: boolean | undefined;
  /** When an object changed meanwhile: true runs `work` again on the new view, false throws conflict (true). */
  readonly retryStale?: boolean | undefined;
}

export interface Committed<T> {
  readonly value: T;
  /** Index of the entry; every object it wrote has this version. The view index when there was nothing to write. */
  readonly index: Version;
}

/** What one entry changed, in order. Entries without effect are not published. */
export interface Batch {
  readonly index: Version;
  readonly now: InstantMs;
  readonly changes: readonly AppliedChange[];
  /** True when a snapshot replaced everything: `changes` is empty, read the view again. */
  readonly reset: boolean;
}

/**
 * The replicated objects of the cluster: this manager's copy, and the way to change all copies. Reads of `view` are
 * local and may lag; `barrier` makes them linearizable; writes go through the log from any manager.
 *
 * Errors are ClusterError: `unavailable` without a quorum, `conflict` for a name in use or an object changed meanwhile,
 * `not-found`, `deadline` when the outcome of a write stayed unknown.
 */
export interface Store {
  /** Recover from disk and take part in the group. Rejects when the directory is locked, foreign or corrupt. */
  start(): Promise<void>;
  /** Hands leadership over if it has it, flushes and closes. Waiting calls fail with `unavailable`. */
  stop(): Promise<void>;
  /** start, then until the signal: stop. */
  run(signal: AbortSignal): Promise<void>;

  /** This manager's copy; always the same object, moving forward between turns of the event loop. */
  readonly view: View;
  /** The view as it is now, also when it is read later. To be disposed of: until then all changes are noted. */
  moment(): View & Disposable;
  /** Larger of the local clock and the newest applied stamp: never runs backwards across leaders. */
  now(): InstantMs;
  /**
   * The view once it contains everything that was acknowledged before the call. Works on any manager.
   * @throws ClusterError unavailable, with Docker's text, when there is no quorum
   */
  barrier(options?: CallOptions): Promise<View>;
  /**
   * Run `work` on a draft of the local view and commit what it added, as one entry. `work` must be synchronous and may
   * run again. Unlike a decider's, this draft throws the ClusterError when a change does not fit, so `work` need not look
   * at what `add` returns.
   * Resolves when this manager has applied it; applied exactly once even if leaders change meanwhile.
   */
  update<T>(work: (draft: DraftTables) => T, options?: UpdateOptions): Promise<Committed<T>>;
  /**
   * Commit `changes` as they are, each object at most once (`mergeChanges`); conflicts are thrown. More than 200 become
   * several entries, in order and each only if the one before took effect; the index is that of the last.
   */
  propose(changes: readonly Change[], options?: ProposeOptions): Promise<Committed<void>>;
  /** Called synchronously after each applied entry, in order, before any promise of `update` for it resolves. */
  watch(listener: (batch: Batch) => void): Disposable;
  /**
   * The batches behind version `after`, each once and in order, then those to come, until the signal. A reader takes them
   * at its own pace and never holds up the store; `after` may be what another manager's batches ended with.
   * @throws ClusterError conflict, ERR_COMPACTED, when some of them are not kept any more, because the reader was too
   * slow or away too long or a snapshot replaced them: read the view again and go on behind its index; unavailable when
   * the store stops
   */
  changes(after: Version, signal: AbortSignal): AsyncIterable<Batch>;

  /** Leads AND has applied an entry of its own term, so that the view is complete. */
  isLeader(): boolean;
  leader(): Member | undefined;
  readonly term: number;
  /** Called with true when leading begins (see isLeader) and with false as soon as it ends; at once if it leads now. */
  onLeadership(listener: (leading: boolean) => void): Disposable;

  /** Addresses as they are written: a restart of any member finds the others there. */
  members(): readonly MemberStatus[];
  /**
   * Member `by` said where it and others are reached, aside from the log; the leader writes what is new.
   * @returns where this manager knows all of them to be now, itself included
   */
  introduced(by: number, members: readonly Member[]): readonly Member[];
  /** Add a manager that begins with `join`; it becomes a voter by itself once it has caught up. */
  addMember(member: Member, options?: CallOptions): Promise<void>;
  /**
   * Remove a manager. The leader hands over before it is removed itself.
   * @throws ClusterError conflict when the rest would have no quorum
   */
  removeMember(raftId: number, options?: CallOptions): Promise<void>;
  /** Make another voter the leader, the most advanced reachable one by default; resolves when one leads. */
  transferLeadership(to?: number, options?: CallOptions): Promise<void>;
}
