import type { ConfChange } from './conf-change-codec.ts';
import { encodeConfChange } from './conf-change-codec.ts';
import type { Config } from './config.ts';
import { hup } from './election.ts';
import { assert, RaftError } from './error.ts';
import { applyConfChange } from './membership.ts';
import type {
  ConfState,
  Entry,
  HardState,
  Index,
  Message,
  MessageType,
  NodeId,
} from './message.ts';
import { BLANK, isEmptyHardState, LOCAL_APPEND, LOCAL_APPLY } from './message.ts';
import { Raft } from './raft.ts';
import type { ProgressView, Ready, SoftState } from './ready.ts';
import { reportSnapshot, reportUnreachable } from './replication.ts';
import type { Status } from './status.ts';
import { step, tick } from './step.ts';
import {
  storageAppendMessage,
  storageAppendResponse,
  storageApplyMessage,
} from './storage-message.ts';

const LOCAL: ReadonlySet<MessageType> = new Set<MessageType>([
  'MsgHup',
  'MsgBeat',
  'MsgUnreachable',
  'MsgSnapStatus',
  'MsgCheckQuorum',
  'MsgStorageAppend',
  'MsgStorageAppendResp',
  'MsgStorageApply',
  'MsgStorageApplyResp',
]);

const RESPONSE: ReadonlySet<MessageType> = new Set<MessageType>([
  'MsgAppResp',
  'MsgVoteResp',
  'MsgPreVoteResp',
  'MsgHeartbeatResp',
  'MsgReadIndexResp',
]);

/**
 * One member of a group, as a deterministic state machine: the same calls give the same results, byte for byte. The
 * owner feeds it with ticks, messages and proposals, and does what `ready` asks for. Not reentrant.
 */
export class RawNode {
  readonly #raft: Raft;
  readonly #async: boolean;
  #softState: SoftState;
  #hardState: HardState;
  #stepsOnAdvance: Message[] = [];
  #awaitsAdvance = false;

  /** Throws ErrConfig, and ErrCorrupt when storage lost committed entries. */
  constructor(config: Config) {
    this.#raft = new Raft(config);
    this.#async = this.#raft.settings.asyncStorageWrites;
    this.#softState = this.#currentSoftState();
    this.#hardState = this.#raft.hardState;
  }

  tick(): void {
    tick(this.#raft);
  }

  /** Campaigns now, if this node may. */
  campaign(): void {
    hup(this.#raft);
  }

  /** Proposes an entry; a copy of `data` is kept. Throws ErrProposalDropped. Nothing is promised until it is applied. */
  propose(data: Uint8Array): void {
    this.#propose([{ type: 'EntryNormal', data: data.slice() }]);
  }

  /** Proposes entries that follow each other, in one message to each member. All or none: throws ErrProposalDropped. */
  proposeAll(data: readonly Uint8Array[]): void {
    this.#propose(data.map((bytes) => ({ type: 'EntryNormal', data: bytes.slice() })));
  }

  /**
   * Proposes a membership change. Throws ErrProposalDropped, and ErrConfChangeInvalid for a v1 change that is not a
   * single one. A change that does not fit (another one is not applied yet, for example) becomes an empty entry.
   */
  proposeConfChange(change: ConfChange): void {
    if (change.v1 === true && change.changes.length !== 1) {
      throw new RaftError('ErrConfChangeInvalid', 'a v1 change is exactly one change');
    }
    this.#propose([encodeConfChange(change)]);
  }

  /**
   * To be called for each committed configuration change, with the entry's index. A change that does not fit is
   * ignored on all nodes alike and the unchanged configuration returned. Null, and no change, when a snapshot that
   * covers `index` has been received meanwhile.
   */
  applyConfChange(change: ConfChange, index: Index): ConfState | null {
    return applyConfChange(this.#raft, change, index);
  }

  /**
   * Handles a message. Throws ErrStepLocalMsg and ErrStepPeerNotFound for messages that must not come from outside or
   * come from a stranger, ErrProposalDropped for a proposal, ErrIndexRange for numbers that are no safe integers.
   */
  step(m: Message): void {
    const fromThread = m.from === LOCAL_APPEND || m.from === LOCAL_APPLY;
    if (LOCAL.has(m.type) && !fromThread) throw new RaftError('ErrStepLocalMsg');
    if (RESPONSE.has(m.type) && this.#isStranger(m.from)) {
      throw new RaftError('ErrStepPeerNotFound');
    }
    step(this.#raft, m);
  }

  /** Whether `ready` has something to do. */
  hasReady(): boolean {
    const r = this.#raft;
    const { unstable } = r.log;
    return (
      r.messages.length > 0 ||
      r.messagesAfterAppend.length > 0 ||
      unstable.hasNextEntries ||
      unstable.nextSnapshot() !== null ||
      r.log.hasNextCommitted(!this.#async) ||
      r.readStates.length > 0 ||
      this.#softStateChanged() ||
      this.#hardStateChanged()
    );
  }

  /** Takes the pending work. Without async storage writes, call `advance` when it is done and before the next `ready`. */
  ready(): Ready {
    const r = this.#raft;
    assert(!this.#awaitsAdvance, 'the last Ready was not advanced');
    const entries = r.log.unstable.nextEntries();
    const snapshot = r.log.unstable.nextSnapshot();
    const committedEntries = r.log.nextCommitted(!this.#async);
    const hardState = this.#takeHardState();
    const work = { hardState: hardState.state, entries, snapshot };
    const messages = this.#takeMessages(work, committedEntries);
    const ready: Ready = {
      softState: this.#takeSoftState(),
      hardState: hardState.state,
      readStates: r.readStates,
      entries,
      snapshot,
      committedEntries,
      messages,
      mustSync: entries.length > 0 || hardState.mustSync,
    };
    r.readStates = [];
    r.log.unstable.acceptInProgress();
    r.log.acceptApplying(committedEntries, !this.#async);
    this.#awaitsAdvance = !this.#async;
    return ready;
  }

  /** The last Ready is durable, sent and applied. Must not be called with async storage writes. */
  advance(_ready: Ready): void {
    assert(!this.#async, 'advance with async storage writes');
    const steps = this.#stepsOnAdvance;
    this.#stepsOnAdvance = [];
    this.#awaitsAdvance = false;
    for (const m of steps) step(this.#raft, m);
  }

  status(): Status {
    const r = this.#raft;
    const progress = new Map<NodeId, ProgressView>();
    if (r.state === 'StateLeader') {
      for (const member of r.tracker.members) progress.set(member.id, member.view());
    }
    return {
      id: r.id,
      term: r.term,
      vote: r.vote,
      commit: r.log.committed,
      applied: r.log.applied,
      lead: r.lead,
      raftState: r.state,
      leadTransferee: r.leadTransferee,
      config: r.tracker.config,
      progress,
    };
  }

  /** A message to `id` could not be delivered. */
  reportUnreachable(id: NodeId): void {
    reportUnreachable(this.#raft, id);
  }

  /** Must follow every MsgSnap, also one that timed out: `id` gets nothing else until then. */
  reportSnapshot(id: NodeId, ok: boolean): void {
    reportSnapshot(this.#raft, id, ok);
  }

  /** Asks the leader, from any member, to hand over to `to`. Given up after an election timeout. */
  transferLeader(to: NodeId): void {
    step(this.#raft, { ...BLANK, type: 'MsgTransferLeader', from: to, to: this.#raft.lead });
  }

  /** A follower stops believing in its leader, so that it grants votes at once. */
  forgetLeader(): void {
    step(this.#raft, { ...BLANK, type: 'MsgForgetLeader', from: this.#raft.id, to: this.#raft.id });
  }

  /**
   * Asks for a read index. It comes back in `Ready.readStates` with `ctx`, or never (no leader, lost message): then ask
   * again with another `ctx`.
   */
  readIndex(ctx: Uint8Array): void {
    const { id, lead } = this.#raft;
    step(this.#raft, { ...BLANK, type: 'MsgReadIndex', from: id, to: lead, context: ctx.slice() });
  }

  /** For tests: campaign after exactly this many ticks. */
  setRandomizedElectionTimeout(ticks: number): void {
    this.#raft.randomizedElectionTimeout = ticks;
  }

  /** This node's own answers come from its storage, and may come after its removal. */
  #isStranger(id: NodeId): boolean {
    return id !== this.#raft.id && this.#raft.tracker.progress(id) === undefined;
  }

  #propose(proposals: readonly Pick<Entry, 'type' | 'data'>[]): void {
    const { id } = this.#raft;
    const entries = proposals.map(({ type, data }) => ({ term: 0, index: 0, type, data }));
    step(this.#raft, { ...BLANK, type: 'MsgProp', from: id, to: id, entries });
  }

  #takeMessages(
    work: Pick<Ready, 'hardState' | 'entries' | 'snapshot'>,
    committed: Ready['committedEntries'],
  ): readonly Message[] {
    const r = this.#raft;
    const messages = r.messages;
    const after = r.messagesAfterAppend;
    r.messages = [];
    r.messagesAfterAppend = [];
    const apply = committed.length > 0 ? storageApplyMessage(r, committed) : undefined;
    if (this.#async) {
      const append = storageAppendMessage(r, work, after);
      if (append !== undefined) messages.push(append);
      if (apply !== undefined) messages.push(apply);
      return messages;
    }
    for (const m of after) (m.to === r.id ? this.#stepsOnAdvance : messages).push(m);
    const stored = storageAppendResponse(r, work.snapshot);
    if (stored !== undefined) this.#stepsOnAdvance.push(stored);
    if (apply?.responses !== undefined) this.#stepsOnAdvance.push(...apply.responses);
    return messages;
  }

  #currentSoftState(): SoftState {
    return { lead: this.#raft.lead, raftState: this.#raft.state };
  }

  #softStateChanged(): boolean {
    const { lead, raftState } = this.#softState;
    return lead !== this.#raft.lead || raftState !== this.#raft.state;
  }

  #hardStateChanged(): boolean {
    const { term, vote, commit } = this.#hardState;
    const r = this.#raft;
    return term !== r.term || vote !== r.vote || commit !== r.log.committed;
  }

  #takeSoftState(): SoftState | null {
    if (!this.#softStateChanged()) return null;
    this.#softState = this.#currentSoftState();
    return this.#softState;
  }

  #takeHardState(): { state: HardState | null; mustSync: boolean } {
    if (!this.#hardStateChanged()) return { state: null, mustSync: false };
    const before = this.#hardState;
    const state = this.#raft.hardState;
    if (isEmptyHardState(state)) return { state: null, mustSync: false };
    this.#hardState = state;
    return { state, mustSync: state.term !== before.term || state.vote !== before.vote };
  }
}
