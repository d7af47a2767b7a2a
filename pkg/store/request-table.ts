import { type Refusal, VERSION_NONE, type Version } from '../model/index.ts';
import type { RequestId } from './command.ts';

/**
 * Why nothing of a request happened. `skipped`: its predecessor was refused. `expired`: too old to know whether it is new.
 * `superseded`: it was decided by a leader whose term was over.
 */
export type OutcomeRefusal =
  | Refusal
  | { readonly reason: 'skipped' }
  | { readonly reason: 'expired' }
  | { readonly reason: 'superseded' };

/** What the first application of a request did, and at which entry. */
export interface Outcome {
  readonly index: Version;
  readonly refusal?: OutcomeRefusal | undefined;
}

export type OutcomeRow = readonly [RequestId, Outcome];

/**
 * The outcomes of recent requests, the same on every member: a request that comes a second time is answered from here
 * instead of being applied again. Bounded: once an outcome left, a request that could be that one is refused as expired.
 */
export class RequestTable {
  readonly #max: number;
  readonly #rows = new Map<RequestId, Outcome>();
  /** Oldest first, from `#first` on: a Map that loses its first key again and again finds it slower each time. */
  #order: RequestId[] = [];
  #first = 0;
  /** Outcomes up to this entry may have left. */
  #floor = VERSION_NONE;

  constructor(max: number) {
    this.#max = max;
  }

  get floor(): Version {
    return this.#floor;
  }

  get(id: RequestId): Outcome | undefined {
    return this.#rows.get(id);
  }

  /** Whether a request that is not here may have been: it was first sent by who had applied `base`. */
  isExpired(base: Version): boolean {
    return base < this.#floor;
  }

  add(id: RequestId, outcome: Outcome): void {
    this.#rows.set(id, outcome);
    this.#order.push(id);
    if (this.#rows.size <= this.#max) return;
    const oldest = this.#order[this.#first++] as RequestId;
    this.#floor = this.#rows.get(oldest)?.index ?? this.#floor;
    this.#rows.delete(oldest);
    if (this.#first < this.#max) return;
    this.#order = this.#order.slice(this.#first);
    this.#first = 0;
  }

  /** Oldest first. */
  rows(): readonly OutcomeRow[] {
    return [...this.#rows];
  }

  restore(floor: Version, rows: readonly OutcomeRow[]): void {
    this.#floor = floor;
    for (const [id, outcome] of rows) this.#rows.set(id, outcome);
    this.#order = [...this.#rows.keys()];
    this.#first = 0;
  }
}
