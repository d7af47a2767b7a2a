import type { Clock, Logger } from '../io/index.ts';
import type { ClusterError } from '../model/index.ts';
import type { Leadership } from './leadership.ts';
import type { Membership } from './membership.ts';

export interface FullDiskOptions {
  readonly leadership: Leadership;
  readonly membership: () => Membership;
  /** A write to the log waits for room. */
  readonly isStuck: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

const TRANSFER_MS = 1000;
const AGAIN_FIRST_MS = 5000;
const AGAIN_MAX_MS = 60_000;

/**
 * What a member does while its disk has no room for more log: it lets another one lead, through which it goes on writing;
 * alone, or when nobody takes over, it refuses writes and keeps the room that is left for what was begun.
 */
export class FullDisk {
  readonly #options: FullDiskOptions;
  #problem: ClusterError | undefined;
  #triedInVain = false;
  #nextAt = 0;
  #pauseMs = AGAIN_FIRST_MS;

  constructor(options: FullDiskOptions) {
    this.#options = options;
  }

  /** The disk became full, or has room again. */
  changed(problem: ClusterError | undefined): void {
    this.#problem = problem;
    this.#triedInVain = false;
    this.#nextAt = 0;
    this.#pauseMs = AGAIN_FIRST_MS;
  }

  /** @throws ClusterError unavailable, naming the disk, when a write could not be kept */
  check(): void {
    const { leadership, isStuck, membership } = this.#options;
    if (this.#problem === undefined) return;
    const alone = leadership.elected && (this.#triedInVain || !membership().canHandOver());
    if (alone || isStuck()) throw this.#problem;
  }

  /** To be called at short intervals. Each time it leads nevertheless it waits longer before the next attempt. */
  tick(): void {
    const { leadership, membership, clock, logger } = this.#options;
    const now = clock.monotonicMs();
    if (this.#problem === undefined || !leadership.elected || now < this.#nextAt) return;
    this.#nextAt = now + this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, AGAIN_MAX_MS);
    if (!membership().canHandOver()) return;
    membership()
      .transfer(undefined, { timeoutMs: TRANSFER_MS })
      .then(
        () => logger.warn('leadership handed over: the disk is full'),
        (error: unknown) => {
          this.#triedInVain = true;
          logger.warn('nobody takes over leadership although the disk is full', { error });
        },
      );
  }
}
