import type { Member } from '../../../pkg/store/index.ts';
import type { Random } from '../raft/random.ts';

interface Machine {
  readonly raftId: number;
  /** Members as it knows them, or knew them when it went off; none before it heard of any. */
  readonly known: readonly Member[];
}

/**
 * Where each machine is reached. One that is off may get another address, when all that are on and it knew where all are:
 * who moves before that may not find the others any more, which is the operator's business.
 */
export class Places {
  readonly #random: Random;
  readonly #chance: number;
  readonly #numbers = new Map<number, number>();
  moves = 0;

  constructor(random: Random, chance: number) {
    this.#random = random;
    this.#chance = chance;
  }

  addressOf(raftId: number): string {
    return `m${raftId}:${this.#numbers.get(raftId) ?? 1}`;
  }

  perhapsMove(machine: Machine, on: readonly Machine[]): void {
    if (!this.#random.chance(this.#chance)) return;
    if (![machine, ...on].every(({ known }) => this.#isCurrent(known))) return;
    const { raftId } = machine;
    this.moves++;
    this.#numbers.set(raftId, (this.#numbers.get(raftId) ?? 1) + 1);
  }

  #isCurrent(known: readonly Member[]): boolean {
    const right = known.every(({ raftId, address }) => address === this.addressOf(raftId));
    return known.length > 0 && right;
  }
}
