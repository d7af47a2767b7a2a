import {
  type AppliedChange,
  type Change,
  ClusterError,
  DraftTables,
  type InstantMs,
  type Tables,
  type TaskId,
} from '../../pkg/model/index.ts';
import { DirtySet, mergeChanges } from '../../pkg/store/index.ts';
import { LEADER_LOOPS } from './leader.ts';

/** The deciders over tables of one's own: what a leader would write next. */
export class PlannedLeader {
  readonly #tables: Tables;
  #dirty: DirtySet;
  #wakeAt: InstantMs | undefined;
  #ids = 0;

  constructor(tables: Tables) {
    this.#tables = tables;
    this.#dirty = new DirtySet();
  }

  /** When to ask again even if nothing changes, as of the last pass. */
  get wakeAt(): InstantMs | undefined {
    return this.#wakeAt;
  }

  changed(changes: readonly AppliedChange[]): void {
    this.#dirty.add(changes);
  }

  /** What one pass decides; the caller applies it and tells `changed`. */
  pass(now: InstantMs): readonly Change[] {
    const draft = new DraftTables(this.#tables);
    const dirty = this.#dirty;
    this.#dirty = new DirtySet();
    this.#wakeAt = undefined;
    for (const decide of LEADER_LOOPS) {
      const newTaskId = (): TaskId => this.#newId();
      const decision = decide({ view: draft, dirty, now, monotonicMs: now, newTaskId });
      for (const change of decision.changes) {
        if (draft.add(change)) throw new ClusterError('system', `${decide.name} does not fit`);
      }
      this.#wake(decision.wakeAt);
    }
    return mergeChanges(draft.changes);
  }

  #wake(at: InstantMs | undefined): void {
    if (at !== undefined && at < (this.#wakeAt ?? Number.MAX_SAFE_INTEGER)) this.#wakeAt = at;
  }

  #newId(): TaskId {
    this.#ids += 1;
    return `planned-${String(this.#ids).padStart(6, '0')}` as TaskId;
  }
}
