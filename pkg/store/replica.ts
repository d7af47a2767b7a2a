import {
  type ConfChange,
  type ConfState,
  type Entry,
  hasCode,
  LOCAL_APPEND,
  LOCAL_APPLY,
  type Message,
  RawNode,
  type Ready,
  type SoftState,
  type Status,
} from 'raft-js';
import type { Clock, Logger, Random } from '../io/index.ts';
import type { Version } from '../model/index.ts';
import { applyEntry } from './apply-entry.ts';
import type { Tuning } from './contract.ts';
import { LogWriter } from './log-writer.ts';
import type { Outbox } from './outbox.ts';
import type { Recovered } from './recovery.ts';
import type { Applied } from './state-machine.ts';

export interface ReplicaOptions {
  readonly raftId: number;
  readonly recovered: Recovered;
  readonly outbox: Outbox;
  readonly tuning: Tuning;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly hooks: ReplicaHooks;
}

/** All are called synchronously, between two inputs of the core. */
export interface ReplicaHooks {
  /** After each entry. `applied` is undefined for entries without a command. */
  readonly applied: (entry: Entry, applied: Applied | undefined) => void;
  /** A snapshot replaced everything. */
  readonly reset: (index: Version) => void;
  readonly readIndex: (context: Uint8Array, index: number) => void;
  readonly roleChanged: (soft: SoftState, term: number) => void;
  /** Go on is not possible. */
  readonly fatal: (error: Error) => void;
}

/** An input that the core did not take; nothing happened. */
const HARMLESS = [
  'ErrProposalDropped',
  'ErrStepPeerNotFound',
  'ErrStepLocalMsg',
  'ErrIndexRange',
] as const;

/** Time one turn may take before other work of the process gets its chance. */
const TURN_BUDGET_MS = 3;
/** Proposals that go together, so that a forwarded message stays below the limits of transports. */
const PROPOSAL_BYTES = 1024 * 1024;

/**
 * The loop around the core: inputs step it, `ready` says what to do, and the order of durability is kept here and in
 * LogWriter only:
 *
 *   1. MsgApp, heartbeats, vote requests leave at once: a leader replicates while its own disk works.
 *   2. entries and hard state go to the writer; what promises them (MsgAppResp, votes, the own acknowledgement) is
 *      released when the fdatasync that covers them returned.
 *   3. committed entries that are durable here are applied, in order, synchronously.
 */
export class Replica {
  readonly #options: ReplicaOptions;
  readonly #node: RawNode;
  readonly #writer: LogWriter;
  #confState: ConfState;
  readonly #proposals: { readonly data: Uint8Array; readonly onDropped: () => void }[] = [];
  #turn: NodeJS.Immediate | undefined;
  /** The last turn ended before its work did. */
  #overdue = false;
  #stopped = false;

  constructor(options: ReplicaOptions) {
    const { recovered, tuning, random, logger } = options;
    this.#options = options;
    this.#confState = recovered.confState;
    this.#node = new RawNode({
      id: options.raftId,
      storage: recovered.storage,
      random: (): number => random.float(),
      electionTick: tuning.electionTicks,
      heartbeatTick: tuning.heartbeatTicks,
      applied: recovered.snapshotIndex,
      asyncStorageWrites: true,
      maxSizePerMsg: 512 * 1024,
      maxCommittedSizePerReady: 128 * 1024,
      maxUncommittedEntriesSize: 32 * 1024 * 1024,
      maxInflightMsgs: 256,
      maxInflightBytes: 16 * 1024 * 1024,
      checkQuorum: true,
      preVote: true,
      logger: {
        debug: (text): void => logger.debug('raft', { text }),
        info: (text): void => logger.debug('raft', { text }),
        warn: (text): void => logger.warn('raft', { text }),
        error: (text): void => logger.error('raft', { text }),
        fatal: (text): void => logger.error('raft', { text }),
      },
    });
    this.#writer = new LogWriter({
      recovered,
      onDone: (responses): void => this.#release(responses),
      onInstalled: (confState, index): void => {
        this.#confState = confState;
        options.hooks.reset(index);
      },
      onFatal: (error): void => this.#fail(error),
    });
  }

  get writer(): LogWriter {
    return this.#writer;
  }

  /** Membership as of the last applied entry. */
  get confState(): ConfState {
    return this.#confState;
  }

  status(): Status {
    return this.#node.status();
  }

  /** Apply what is known to be committed. The only voter need not wait for anybody: it campaigns. */
  start(): void {
    this.#run();
    const { voters } = this.#node.status().config;
    if (voters.length === 1 && voters[0] === this.#options.raftId) this.#node.campaign();
    this.#wake();
  }

  /** Finish what is being written and close the log. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearImmediate(this.#turn);
    await this.#writer.close();
  }

  tick(): void {
    this.#input((node) => node.tick());
  }

  step(message: Message): void {
    this.#input((node) => node.step(message));
  }

  /**
   * Propose at the end of this turn, together with what else comes until then. `onDropped` is called when nobody took it;
   * otherwise nothing is promised.
   */
  propose(data: Uint8Array, onDropped: () => void): void {
    this.#proposals.push({ data, onDropped });
    this.#wake();
  }

  proposeConfChange(change: ConfChange): boolean {
    return this.#input((node) => node.proposeConfChange(change));
  }

  readIndex(context: Uint8Array): void {
    this.#input((node) => node.readIndex(context));
  }

  transferLeader(to: number): void {
    this.#input((node) => node.transferLeader(to));
  }

  /** Ask whether an election can be won. */
  campaign(): void {
    this.#input((node) => node.campaign());
  }

  /** Stop believing in the leader, and refusing others their votes for its sake. */
  forgetLeader(): void {
    this.#input((node) => node.forgetLeader());
  }

  reportUnreachable(raftId: number): void {
    this.#input((node) => node.reportUnreachable(raftId));
  }

  reportSnapshot(raftId: number, ok: boolean): void {
    this.#input((node) => node.reportSnapshot(raftId, ok));
  }

  #input(act: (node: RawNode) => void): boolean {
    if (this.#stopped) return false;
    try {
      act(this.#node);
    } catch (error) {
      if (!HARMLESS.some((code) => hasCode(error, code))) this.#fail(error);
      return false;
    }
    this.#wake();
    return true;
  }

  /** Everything that arrives in one turn of the event loop is handled as one batch. */
  #wake(): void {
    if (this.#stopped) return;
    this.#turn ??= setImmediate(() => {
      this.#turn = undefined;
      this.#run();
    });
  }

  #run(): void {
    const { clock, outbox } = this.#options;
    const until = clock.monotonicMs() + TURN_BUDGET_MS;
    this.#overdue = false;
    try {
      this.#proposeQueued();
      while (!this.#stopped && this.#node.hasReady()) {
        this.#handle(this.#node.ready());
        if (clock.monotonicMs() < until) continue;
        this.#overdue = true;
        this.#wake();
        break;
      }
    } catch (error) {
      this.#fail(error);
    }
    outbox.flush();
  }

  /** All proposals of a turn are one message to each member. */
  #proposeQueued(): void {
    while (this.#proposals.length > 0) {
      let bytes = 0;
      const over = this.#proposals.findIndex(({ data }, at) => {
        bytes += data.length;
        return at > 0 && bytes > PROPOSAL_BYTES;
      });
      const batch = this.#proposals.splice(0, over < 0 ? this.#proposals.length : over);
      const taken = this.#input((node) => node.proposeAll(batch.map(({ data }) => data)));
      if (!taken) for (const { onDropped } of batch) onDropped();
    }
  }

  #handle(ready: Ready): void {
    const { hooks, outbox } = this.#options;
    if (ready.softState) hooks.roleChanged(ready.softState, this.#node.status().term);
    for (const { requestCtx, index } of ready.readStates) hooks.readIndex(requestCtx, index);
    for (const message of ready.messages) {
      if (message.to === LOCAL_APPEND) this.#writer.add(message);
      else if (message.to === LOCAL_APPLY) this.#apply(message);
      else outbox.add(message);
    }
  }

  #apply(work: Message): void {
    const { machine } = this.#options.recovered;
    for (const entry of work.entries ?? []) {
      if (entry.index <= machine.view.index) continue;
      const applied = applyEntry(machine, entry, (change) => this.#configure(change, entry.index));
      this.#options.hooks.applied(entry, applied);
    }
    for (const response of work.responses ?? []) this.#node.step(response);
  }

  #configure(change: ConfChange, index: number): void {
    const confState = this.#node.applyConfChange(change, index);
    if (confState !== null) this.#confState = confState;
  }

  /** What had to wait for the disk may leave now. */
  #release(responses: readonly Message[]): void {
    if (this.#stopped) return;
    for (const response of responses) {
      if (response.to === this.#options.raftId) this.#node.step(response);
      else this.#options.outbox.add(response);
    }
    // The next turn has been asked for then: two in one round of the event loop would hold up what else waits.
    if (!this.#overdue) this.#run();
  }

  #fail(error: unknown): void {
    if (this.#stopped) return;
    this.#stopped = true;
    clearImmediate(this.#turn);
    this.#options.hooks.fatal(error instanceof Error ? error : new Error(String(error)));
  }
}
