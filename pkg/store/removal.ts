import type { Clock, Logger } from '../io/index.ts';
import type { RemovedRecord } from './state-machine.ts';

const FORGET_MS = 10_000;

export interface RemovalOptions {
  readonly selfId: number;
  readonly removed: () => ReadonlyMap<number, RemovedRecord>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Nobody waits for this member any more. */
  readonly released: () => void;
  readonly forget: (raftId: number) => void;
  readonly onRemoved: (() => void) | undefined;
}

/** Members that were taken out of the group, this one perhaps among them. */
export class Removal {
  readonly #options: RemovalOptions;
  readonly #forgotten = new Set<number>();
  #told = false;

  constructor(options: RemovalOptions) {
    this.#options = options;
  }

  /** It was removed, and waits for the word of the others that it may go. */
  get leaving(): boolean {
    return this.has(this.#options.selfId);
  }

  has(raftId: number): boolean {
    return this.#options.removed().has(raftId);
  }

  /** The group knows of the removal for good: the member may be told. */
  isSettled(raftId: number): boolean {
    return this.#options.removed().get(raftId)?.settled === true;
  }

  /** The list may have grown. */
  check(): void {
    const { selfId, removed, clock, forget } = this.#options;
    if (this.isSettled(selfId)) this.tell();
    for (const raftId of removed().keys()) {
      if (this.#forgotten.has(raftId)) continue;
      this.#forgotten.add(raftId);
      // It is still to hear that it was removed.
      clock.after(FORGET_MS, () => forget(raftId));
    }
  }

  /** This member was removed, its own log says so or another member. */
  tell(): void {
    if (this.#told) return;
    this.#told = true;
    this.#options.logger.warn('this manager was removed from the group');
    this.#options.released();
    this.#options.onRemoved?.();
  }
}
