import type { Clock } from '../io/index.ts';
import type { Member } from './contract.ts';

/**
 * Who can be reached, and where. Addresses come from the replicated members; a member that joins, or that forgot the
 * newest of the log in a crash, begins with those it was told.
 */
export class Peers {
  readonly #clock: Clock;
  readonly #told: Map<number, Member>;
  readonly #replicated: () => ReadonlyMap<number, Member>;
  readonly #former: () => ReadonlyMap<number, Member>;
  readonly #heardAt = new Map<number, number>();

  constructor(options: {
    readonly clock: Clock;
    readonly told: readonly Member[];
    readonly replicated: () => ReadonlyMap<number, Member>;
    /** Removed ones: one that does not know it yet is still answered. */
    readonly former: () => ReadonlyMap<number, Member>;
  }) {
    this.#clock = options.clock;
    this.#told = new Map(options.told.map((member) => [member.raftId, member]));
    this.#replicated = options.replicated;
    this.#former = options.former;
  }

  get(raftId: number): Member | undefined {
    return this.#replicated().get(raftId) ?? this.#told.get(raftId) ?? this.#former().get(raftId);
  }

  /** The replicated members; before anything was replicated, those that were told. */
  all(): readonly Member[] {
    const replicated = this.#replicated();
    return [...(replicated.size > 0 ? replicated : this.#told).values()];
  }

  /** A member said where it is reached. */
  told(member: Member): void {
    this.#told.set(member.raftId, member);
  }

  heard(raftId: number): void {
    this.#heardAt.set(raftId, this.#clock.monotonicMs());
  }

  lost(raftId: number): void {
    this.#heardAt.delete(raftId);
  }

  heardWithin(raftId: number, periodMs: number): boolean {
    const at = this.#heardAt.get(raftId);
    return at !== undefined && this.#clock.monotonicMs() - at <= periodMs;
  }
}
