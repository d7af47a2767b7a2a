import {
  type Change,
  ClusterError,
  DraftTables,
  type InstantMs,
  Tables,
  type Version,
} from '../model/index.ts';
import type { Batch, Committed, Member } from '../store/index.ts';
import type { DispatcherStore } from './dispatcher.ts';

/** A store of one manager in memory, for tests: writes apply at once, in order. */
export class FakeStore implements DispatcherStore {
  readonly view = new Tables();
  readonly #now: () => InstantMs;
  readonly #watchers = new Set<(batch: Batch) => void>();
  readonly #leadership = new Set<(leading: boolean) => void>();
  #leads = false;
  #index = 0;
  leaderMember: Member | undefined;

  constructor(now: () => InstantMs) {
    this.#now = now;
  }

  now(): InstantMs {
    return this.#now();
  }

  async update<T>(work: (draft: DraftTables) => T): Promise<Committed<T>> {
    if (!this.#leads) throw new ClusterError('unavailable', 'the swarm does not have a leader');
    const draft = new DraftTables(this.view);
    const value = work(draft);
    return { value, index: this.write(draft.changes) };
  }

  /** Applies `changes` as if another part of the manager had proposed them. */
  write(changes: readonly Change[]): Version {
    if (changes.length === 0) return this.view.index;
    this.#index += 1;
    const index = this.#index as Version;
    const refusal = this.view.check(changes);
    if (refusal) throw new ClusterError('conflict', JSON.stringify(refusal));
    const now = this.#now();
    const applied = this.view.apply(changes, index, now);
    for (const watcher of this.#watchers) watcher({ index, now, changes: applied, reset: false });
    return index;
  }

  watch(listener: (batch: Batch) => void): Disposable {
    this.#watchers.add(listener);
    return { [Symbol.dispose]: (): void => void this.#watchers.delete(listener) };
  }

  isLeader(): boolean {
    return this.#leads;
  }

  leader(): Member | undefined {
    return this.leaderMember;
  }

  members(): ReturnType<DispatcherStore['members']> {
    return this.leaderMember
      ? [{ ...this.leaderMember, role: 'voter', leader: true, reachable: true }]
      : [];
  }

  onLeadership(listener: (leading: boolean) => void): Disposable {
    this.#leadership.add(listener);
    if (this.#leads) listener(true);
    return { [Symbol.dispose]: (): void => void this.#leadership.delete(listener) };
  }

  lead(leading: boolean): void {
    this.#leads = leading;
    for (const listener of this.#leadership) listener(leading);
  }
}
