import type { Clock } from '../io/index.ts';
import { ClusterError } from '../model/index.ts';
import type { RequestId } from './command.ts';
import type { Leadership } from './leadership.ts';
import type { Outcome } from './request-table.ts';

export interface ProposalsOptions {
  readonly clock: Clock;
  /** The recorded outcome, for requests whose entry was skipped over by a snapshot. */
  readonly outcomeOf: (id: RequestId) => Outcome | undefined;
  readonly leadership: Leadership;
  readonly noLeader: () => ClusterError;
  /** A leader is in reach that may commit it. Without one nothing is sent, so that nothing is written later. */
  readonly hasTaker: () => boolean;
  /** Too few members are reachable, so that nothing is to be expected. */
  readonly quorumLost: () => boolean;
}

export interface Attempt {
  readonly id: RequestId;
  /** Only in this term, which this member leads. Its end decides; until then there is nothing to give up. */
  readonly term?: number | undefined;
  /**
   * Hand it to raft, and call `onDropped` (later) when there was nobody to take it. Called again, with the same id,
   * until it has an outcome.
   */
  readonly send: (onDropped: () => void) => void;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** A leader may pass over it without a word (a configuration change while another one is under way). */
  readonly mayBePassedOver?: boolean | undefined;
}

const RETRY_FIRST_MS = 500;
const RETRY_PASSED_OVER_MS = 100;
const RETRY_MAX_MS = 4000;
const RETRY_UNSENT_MS = 50;
/** Without a leader in reach nothing is sent; waiting for an election is worth this long. */
const NO_LEADER_MS = 5000;
/** … unless it cannot be won. */
const QUORUM_LOST_MS = 1500;
const QUORUM_LOST_SENT_MS = 2500;

/** A class, because thousands a second are made: they are all of one shape. */
class Pending {
  readonly attempt: Attempt;
  readonly startedAt: number;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: Error) => void;
  onAbort: (() => void) | undefined;
  sent = false;
  /** The term in which this member itself took it into its log as leader; 0 otherwise. */
  ownTerm = 0;
  /** When to send it again, and how long to wait the time after. */
  retryAt: number;
  retryMs: number;
  /** When there was last a leader to take it. */
  takerAt: number;

  constructor(
    attempt: Attempt,
    now: number,
    resolve: (outcome: Outcome) => void,
    reject: (error: Error) => void,
  ) {
    this.attempt = attempt;
    this.startedAt = now;
    this.retryAt = now;
    this.retryMs = attempt.mayBePassedOver ? RETRY_PASSED_OVER_MS : RETRY_FIRST_MS;
    this.takerAt = now;
    this.resolve = resolve;
    this.reject = reject;
  }
}

/**
 * Requests on their way through the log. One that was sent may be applied at any time, so it is repeated under its id
 * until this member sees what became of it; the replicated outcomes make that harmless.
 */
export class Proposals {
  readonly #options: ProposalsOptions;
  readonly #pending = new Map<RequestId, Pending>();

  constructor(options: ProposalsOptions) {
    this.#options = options;
  }

  /**
   * @throws ClusterError unavailable when nothing can have been written, deadline when the outcome stays unknown; the
   * signal's reason when aborted (the write may still happen)
   */
  submit(attempt: Attempt): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const { id, signal } = attempt;
      if (signal?.aborted) {
        reject(asError(signal.reason));
        return;
      }
      const now = this.#options.clock.monotonicMs();
      const pending = new Pending(attempt, now, resolve, reject);
      this.#pending.set(id, pending);
      if (signal) {
        pending.onAbort = (): void => this.#settle(pending, asError(signal.reason));
        signal.addEventListener('abort', pending.onAbort, { once: true });
      }
      this.#send(pending, now);
    });
  }

  /** An entry with this id was applied here. */
  applied(id: RequestId, outcome: Outcome): void {
    const pending = this.#pending.get(id);
    if (pending) this.#settle(pending, outcome);
  }

  /** Entries were replaced by a snapshot: some of them may have been ours. */
  checkAll(): void {
    for (const pending of [...this.#pending.values()]) {
      const outcome = this.#options.outcomeOf(pending.attempt.id);
      if (outcome) this.#settle(pending, outcome);
    }
  }

  /** There is a new leader: what the old one did not commit may be lost. */
  resendAll(): void {
    const now = this.#options.clock.monotonicMs();
    for (const pending of [...this.#pending.values()]) this.#send(pending, now);
  }

  /** To be called at short intervals. */
  tick(): void {
    if (this.#pending.size === 0) return;
    const now = this.#options.clock.monotonicMs();
    const lost = this.#options.quorumLost();
    const hasTaker = this.#options.hasTaker();
    for (const pending of [...this.#pending.values()]) {
      if (hasTaker) pending.takerAt = now;
      const failure = this.#failure(pending, now, lost);
      if (failure) this.#settle(pending, failure);
      else if (now >= pending.retryAt) this.#send(pending, now);
    }
  }

  failAll(error: Error): void {
    for (const pending of [...this.#pending.values()]) this.#settle(pending, error);
  }

  #send(pending: Pending, now: number): void {
    const { elected, term } = this.#options.leadership;
    if (this.#isPast(pending)) {
      this.#settle(pending, unknown('its author does not lead any more'));
      return;
    }
    // It is in the own log and will be committed, unless this member loses the term.
    if (elected && pending.ownTerm === term && !pending.attempt.mayBePassedOver) return;
    if (!this.#options.hasTaker()) {
      pending.retryAt = now + RETRY_UNSENT_MS;
      return;
    }
    const { sent, retryMs } = pending;
    pending.sent = true;
    pending.ownTerm = elected ? term : 0;
    pending.retryAt = now + retryMs;
    pending.retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
    pending.attempt.send(() => {
      pending.sent = sent;
      pending.retryMs = retryMs;
      pending.ownTerm = 0;
      pending.retryAt = this.#options.clock.monotonicMs() + RETRY_UNSENT_MS;
    });
  }

  #settle(pending: Pending, result: Outcome | Error): void {
    const { id, signal } = pending.attempt;
    if (!this.#pending.delete(id)) return;
    if (pending.onAbort) signal?.removeEventListener('abort', pending.onAbort);
    if (result instanceof Error) pending.reject(result);
    else pending.resolve(result);
  }

  #isPast({ attempt: { term } }: Pending): boolean {
    const { leadership } = this.#options;
    return term !== undefined && !(leadership.elected && leadership.term === term);
  }

  #failure(pending: Pending, now: number, lost: boolean): ClusterError | undefined {
    if (this.#isPast(pending)) return unknown('its author does not lead any more');
    if (pending.attempt.term !== undefined) return undefined;
    const age = now - pending.startedAt;
    const late = age >= pending.attempt.timeoutMs;
    if (!pending.sent) {
      const inVain = now - pending.takerAt >= (lost ? QUORUM_LOST_MS : NO_LEADER_MS);
      return late || inVain ? this.#options.noLeader() : undefined;
    }
    if (!late && !(lost && age >= QUORUM_LOST_SENT_MS)) return undefined;
    const why = lost ? ` (${this.#options.noLeader().message})` : '';
    return unknown(`it was not confirmed within ${Math.round(age)} ms${why}`);
  }
}

function unknown(why: string): ClusterError {
  return new ClusterError('deadline', `the write may still take effect: ${why}`, {
    code: 'ERR_OUTCOME_UNKNOWN',
  });
}

export function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new ClusterError('cancelled', String(reason));
}
