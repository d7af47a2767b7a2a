import type { Clock, Random } from '../io/index.ts';
import type { ClusterError } from '../model/index.ts';
import { asError } from './proposals.ts';

export interface ReadsOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly appliedIndex: () => number;
  readonly requestIndex: (context: Uint8Array) => void;
  readonly noLeader: () => ClusterError;
  /** Too few members are reachable, so that an answer is not to be expected. */
  readonly quorumLost: () => boolean;
}

interface Waiter {
  readonly begunAt: number;
  readonly deadline: number;
  /** What has to be applied; unknown until a round that began after the call was confirmed. */
  index: number;
  readonly settle: (error?: Error) => void;
}

interface Round {
  readonly context: string;
  readonly waiters: readonly Waiter[];
  readonly abandonAt: number;
}

const ROUND_MS = 500;
/** Without a quorum nobody need wait for the whole time. */
const QUORUM_LOST_MS = 1500;
const CONTEXT_BYTES = 12;

/**
 * Linearizable reads: one question to the quorum for all that wait, at most one under way. A round serves only callers
 * that came before it began, and is never asked twice under the same context.
 */
export class Reads {
  readonly #options: ReadsOptions;
  /** Came while a round was under way; they need the next one. */
  #queue: Waiter[] = [];
  #round: Round | undefined;
  /** Know their index, and wait until it is applied. */
  #indexed: Waiter[] = [];

  constructor(options: ReadsOptions) {
    this.#options = options;
  }

  /** Resolves when everything acknowledged before the call is applied here. @throws ClusterError unavailable */
  wait(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => waiter.settle(asError(signal?.reason));
      const begunAt = this.#options.clock.monotonicMs();
      const deadline = begunAt + timeoutMs;
      const settle = (error?: Error): void => {
        signal?.removeEventListener('abort', onAbort);
        waiter.index = Number.NEGATIVE_INFINITY;
        if (error) reject(error);
        else resolve();
      };
      const waiter: Waiter = { begunAt, deadline, index: Number.POSITIVE_INFINITY, settle };
      if (signal?.aborted) {
        onAbort();
        return;
      }
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#queue.push(waiter);
      this.#begin();
    });
  }

  /** The answer to a round. Answers to abandoned ones are ignored. */
  confirmed(context: Uint8Array, index: number): void {
    const round = this.#round;
    if (round === undefined || Buffer.from(context).toString('hex') !== round.context) return;
    this.#round = undefined;
    for (const waiter of round.waiters) {
      if (waiter.index < 0) continue;
      waiter.index = index;
      this.#indexed.push(waiter);
    }
    this.advance();
    this.#begin();
  }

  /** More was applied. */
  advance(): void {
    if (this.#indexed.length === 0) return;
    const applied = this.#options.appliedIndex();
    const ready = this.#indexed.filter((waiter) => waiter.index <= applied);
    this.#indexed = this.#indexed.filter((waiter) => waiter.index > applied);
    for (const waiter of ready) if (waiter.index >= 0) waiter.settle();
  }

  /** The leader changed: its predecessor will not answer. */
  restart(): void {
    if (this.#round) this.#queue.unshift(...this.#round.waiters);
    this.#round = undefined;
    this.#begin();
  }

  /** To be called at short intervals. */
  tick(): void {
    if (this.#queue.length + this.#indexed.length === 0 && this.#round === undefined) return;
    const now = this.#options.clock.monotonicMs();
    const patience = this.#options.quorumLost() ? QUORUM_LOST_MS : Number.POSITIVE_INFINITY;
    const late = (waiter: Waiter): boolean =>
      waiter.index >= 0 && now >= Math.min(waiter.deadline, waiter.begunAt + patience);
    const all = [...this.#queue, ...(this.#round?.waiters ?? []), ...this.#indexed];
    for (const waiter of all.filter(late)) waiter.settle(this.#options.noLeader());
    this.#queue = this.#queue.filter((waiter) => waiter.index >= 0);
    this.#indexed = this.#indexed.filter((waiter) => waiter.index >= 0);
    if (this.#round && now >= this.#round.abandonAt) this.restart();
  }

  failAll(error: Error): void {
    const all = [...this.#queue, ...(this.#round?.waiters ?? []), ...this.#indexed];
    this.#queue = [];
    this.#round = undefined;
    this.#indexed = [];
    for (const waiter of all) if (waiter.index >= 0) waiter.settle(error);
  }

  #begin(): void {
    const waiters = this.#queue.filter((waiter) => waiter.index >= 0);
    if (this.#round || waiters.length === 0) return;
    this.#queue = [];
    const { clock, random, requestIndex } = this.#options;
    const context = random.bytes(CONTEXT_BYTES).slice();
    const abandonAt = clock.monotonicMs() + ROUND_MS;
    this.#round = { context: Buffer.from(context).toString('hex'), waiters, abandonAt };
    requestIndex(context);
  }
}
