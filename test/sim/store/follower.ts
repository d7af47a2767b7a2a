import { ClusterError } from '../../../pkg/model/index.ts';
import type { Batch } from '../../../pkg/store/index.ts';
import type { SimMember } from './member.ts';
import { copyOf, digest, type Witness } from './witness.ts';
import type { World } from './world.ts';

const SLOW_MS = 400;

export interface FollowerOptions {
  readonly world: World;
  readonly witness: Witness;
  /** Members that can be asked right now. */
  readonly up: () => readonly SimMember[];
  readonly wanted: () => boolean;
}

/**
 * Somebody who keeps a copy by following the changes, sometimes slowly, and goes on at another member when the own one
 * ends or on a whim. The copy must be right after every batch.
 */
export class Follower {
  readonly #options: FollowerOptions;
  #copy: Map<string, number> | undefined;
  #index = 0;
  /** Batches taken in, and how often everything had to be read again. */
  batches = 0;
  restarts = 0;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { world, up, wanted } = this.#options;
    while (wanted()) {
      const members = up();
      if (members.length > 0) await this.#follow(world.random.pick(members));
      await world.pause(world.random.between(1, SLOW_MS));
    }
  }

  async #follow(member: SimMember): Promise<void> {
    const { random } = this.#options.world;
    const { store, ended } = member;
    const end = new AbortController();
    void ended.then(() => end.abort());
    this.#options.world.after(random.between(100, 2000), () => end.abort());
    try {
      if (this.#copy === undefined) this.#begin(member);
      for await (const batch of store.changes(this.#index as never, end.signal)) {
        if (end.signal.aborted) break;
        this.#take(batch);
        if (random.chance(0.1)) await this.#options.world.pause(random.between(1, SLOW_MS));
      }
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      if (error.code === 'ERR_COMPACTED') this.#copy = undefined;
    }
  }

  #begin({ store }: SimMember): void {
    this.#copy = copyOf(store);
    this.#index = store.view.index;
    this.restarts++;
  }

  #take({ index, changes }: Batch): void {
    const copy = this.#copy;
    if (copy === undefined) return;
    if (index <= this.#index) throw new Error(`changes of ${index} are told after ${this.#index}`);
    for (const { kind, before, after } of changes) {
      if (kind !== 'config') continue;
      const id = after?.id ?? before?.id ?? '';
      if (copy.get(id) !== before?.version) {
        throw new Error(
          `changes of ${index} follow version ${before?.version} of ${id}, which was not told`,
        );
      }
      if (after) copy.set(id, after.version);
      else copy.delete(id);
    }
    this.#index = index;
    this.batches++;
    this.#options.witness.holds('a follower', index, digest(copy));
  }
}
