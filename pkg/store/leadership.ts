import type { SoftState } from 'raft-js';
import type { Logger } from '../io/index.ts';

/**
 * Who leads, as this member sees it. It leads itself only once an entry of its own term is applied: before that its view
 * may lack what an earlier leader acknowledged.
 */
export class Leadership {
  readonly #logger: Logger;
  readonly #listeners = new Set<(leading: boolean) => void>();
  #elected = false;
  #leading = false;
  #term = 0;
  #lead = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  get leading(): boolean {
    return this.#leading;
  }

  /** The core is in the role of leader, whether or not it has caught up. */
  get elected(): boolean {
    return this.#elected;
  }

  get term(): number {
    return this.#term;
  }

  /** Raft id of the leader; 0 for none known. */
  get lead(): number {
    return this.#lead;
  }

  /** True when there is another leader than before. */
  roleChanged(soft: SoftState, term: number): boolean {
    const elected = soft.raftState === 'StateLeader';
    const other = soft.lead !== 0 && (soft.lead !== this.#lead || term !== this.#term);
    if (this.#leading && (!elected || term !== this.#term)) this.#set(false);
    if (other) this.#logger.info('manager group has a leader', { member: soft.lead, term });
    else if (soft.lead === 0 && this.#lead !== 0) {
      this.#logger.warn('manager group has no leader', { term });
    }
    this.#elected = elected;
    this.#term = term;
    this.#lead = soft.lead;
    return other;
  }

  entryApplied(term: number): void {
    if (this.#elected && !this.#leading && term === this.#term) this.#set(true);
  }

  end(): void {
    this.#elected = false;
    if (this.#leading) this.#set(false);
  }

  listen(listener: (leading: boolean) => void): Disposable {
    this.#listeners.add(listener);
    if (this.#leading) listener(true);
    return { [Symbol.dispose]: (): void => void this.#listeners.delete(listener) };
  }

  #set(leading: boolean): void {
    this.#leading = leading;
    for (const listener of [...this.#listeners]) listener(leading);
  }
}
