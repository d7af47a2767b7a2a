import type { ConfChange, ConfChangeSingle } from './conf-change-codec.ts';
import { RaftError } from './error.ts';
import type { ConfState, NodeId } from './message.ts';
import { EMPTY_CONF_STATE, LOCAL_APPLY, NONE } from './message.ts';
import type { Progress } from './progress.ts';

/** Who belongs to the group, and what a leader knows about each of them. `progress` ascends by id. */
export interface Membership {
  readonly config: ConfState;
  readonly progress: ReadonlyMap<NodeId, Progress>;
}

export type MakeProgress = (id: NodeId, isLearner: boolean) => Progress;

/** In a joint configuration majorities of both voter sets have to agree to everything. */
export function isJoint(config: ConfState): boolean {
  return config.votersOutgoing.length > 0;
}

/** Whether `id` is a voter of either voter set. */
export function isVoter(config: ConfState, id: NodeId): boolean {
  return config.voters.includes(id) || config.votersOutgoing.includes(id);
}

/** Whether the change does nothing but leave a joint configuration. */
export function leavesJoint(change: ConfChange): boolean {
  return (change.transition ?? 'auto') === 'auto' && change.changes.length === 0;
}

/** The membership after `change`. `current` stays as it is. Throws ErrConfChangeInvalid. */
export function changeMembership(
  current: Membership,
  change: ConfChange,
  makeProgress: MakeProgress,
): Membership {
  if (leavesJoint(change)) return leaveJoint(current);
  const transition = change.transition ?? 'auto';
  if (transition !== 'auto' || change.changes.length > 1) {
    return enterJoint(current, { ...change, transition }, makeProgress);
  }
  return changeSimply(current, change.changes, makeProgress);
}

/** A change of at most one voter, directly from one configuration to the next. Throws ErrConfChangeInvalid. */
export function changeSimply(
  current: Membership,
  changes: readonly ConfChangeSingle[],
  makeProgress: MakeProgress,
): Membership {
  if (isJoint(current.config)) throw invalid("can't apply simple config change in joint config");
  const draft = new Draft(current, makeProgress);
  draft.apply(changes);
  if (countDifferent(new Set(current.config.voters), draft.voters) > 1) {
    throw invalid('more than one voter changed without entering joint config');
  }
  return draft.finish();
}

/** Any change, in two steps: after this one both the old and the new voters count. Throws ErrConfChangeInvalid. */
export function enterJoint(
  current: Membership,
  change: ConfChange,
  makeProgress: MakeProgress,
): Membership {
  if (isJoint(current.config)) throw invalid('config is already joint');
  if (current.config.voters.length === 0) throw invalid("can't make a zero-voter config joint");
  const draft = new Draft(current, makeProgress);
  draft.outgoing = new Set(current.config.voters);
  draft.apply(change.changes);
  draft.autoLeave = change.transition !== 'explicit';
  return draft.finish();
}

/** The second step: the old voters stop counting. Throws ErrConfChangeInvalid. */
export function leaveJoint(current: Membership): Membership {
  if (!isJoint(current.config)) throw invalid("can't leave a non-joint config");
  const draft = new Draft(current, noNewMember);
  draft.leaveJoint();
  return draft.finish();
}

/** The membership that `config` describes, with fresh progress for everybody. Throws ErrConfChangeInvalid. */
export function restoreMembership(config: ConfState, makeProgress: MakeProgress): Membership {
  const draft = new Draft({ config: EMPTY_CONF_STATE, progress: new Map() }, makeProgress);
  draft.restore(config);
  return draft.finish();
}

class Draft {
  readonly voters: Set<NodeId>;
  outgoing: Set<NodeId>;
  autoLeave: boolean;
  readonly #learners: Set<NodeId>;
  readonly #learnersNext: Set<NodeId>;
  readonly #progress = new Map<NodeId, Progress>();
  readonly #makeProgress: MakeProgress;

  constructor(from: Membership, makeProgress: MakeProgress) {
    this.voters = new Set(from.config.voters);
    this.outgoing = new Set(from.config.votersOutgoing);
    this.#learners = new Set(from.config.learners);
    this.#learnersNext = new Set(from.config.learnersNext);
    this.autoLeave = from.config.autoLeave;
    for (const [id, progress] of from.progress) this.#progress.set(id, progress.copy());
    this.#makeProgress = makeProgress;
  }

  apply(changes: readonly ConfChangeSingle[]): void {
    for (const { type, nodeId } of changes) {
      if (nodeId === NONE) continue;
      if (!Number.isSafeInteger(nodeId) || nodeId < 0 || nodeId >= LOCAL_APPLY) {
        throw invalid(`${nodeId} cannot be a node id`);
      }
      if (type === 'addNode') this.#addVoter(nodeId);
      else if (type === 'addLearner') this.#addLearner(nodeId);
      else if (type === 'removeNode') this.#remove(nodeId);
    }
    if (this.voters.size === 0) throw invalid('removed all voters');
  }

  leaveJoint(): void {
    for (const id of this.#learnersNext) {
      this.#learners.add(id);
      this.#mustHave(id).isLearner = true;
    }
    this.#learnersNext.clear();
    for (const id of this.outgoing) {
      if (!this.voters.has(id) && !this.#learners.has(id)) this.#progress.delete(id);
    }
    this.outgoing = new Set();
    this.autoLeave = false;
  }

  restore(config: ConfState): void {
    for (const id of [...config.voters, ...config.votersOutgoing]) this.#addProgress(id, false);
    for (const id of config.learners) this.#addProgress(id, true);
    for (const id of config.voters) this.voters.add(id);
    for (const id of config.learners) this.#learners.add(id);
    for (const id of config.learnersNext) this.#learnersNext.add(id);
    this.outgoing = new Set(config.votersOutgoing);
    this.autoLeave = config.autoLeave;
  }

  finish(): Membership {
    this.#check();
    const config: ConfState = {
      voters: ascending(this.voters),
      votersOutgoing: ascending(this.outgoing),
      learners: ascending(this.#learners),
      learnersNext: ascending(this.#learnersNext),
      autoLeave: this.autoLeave,
    };
    const progress = [...this.#progress].sort(([a], [b]) => a - b);
    return { config, progress: new Map(progress) };
  }

  #addVoter(id: NodeId): void {
    const progress = this.#progress.get(id);
    if (progress === undefined) this.#addProgress(id, false);
    else progress.isLearner = false;
    this.#learners.delete(id);
    this.#learnersNext.delete(id);
    this.voters.add(id);
  }

  #addLearner(id: NodeId): void {
    const progress = this.#progress.get(id);
    if (progress === undefined) {
      this.#addProgress(id, true);
      this.#learners.add(id);
      return;
    }
    if (progress.isLearner) return;
    this.#remove(id);
    this.#progress.set(id, progress);
    // A voter of the outgoing half cannot be a learner at the same time; it becomes one on leaving.
    if (this.outgoing.has(id)) {
      this.#learnersNext.add(id);
    } else {
      progress.isLearner = true;
      this.#learners.add(id);
    }
  }

  #remove(id: NodeId): void {
    this.voters.delete(id);
    this.#learners.delete(id);
    this.#learnersNext.delete(id);
    if (!this.outgoing.has(id)) this.#progress.delete(id);
  }

  #addProgress(id: NodeId, isLearner: boolean): void {
    if (!this.#progress.has(id)) this.#progress.set(id, this.#makeProgress(id, isLearner));
  }

  #mustHave(id: NodeId): Progress {
    const progress = this.#progress.get(id);
    if (progress === undefined) throw invalid(`no progress for ${id}`);
    return progress;
  }

  #check(): void {
    for (const id of [...this.voters, ...this.outgoing]) this.#mustHave(id);
    for (const id of this.#learnersNext) {
      if (!this.outgoing.has(id)) throw invalid(`${id} is to become a learner but is no voter`);
      if (this.#mustHave(id).isLearner) throw invalid(`${id} is to become a learner and is one`);
    }
    for (const id of this.#learners) {
      if (this.outgoing.has(id) || this.voters.has(id)) {
        throw invalid(`${id} is a learner and a voter`);
      }
      if (!this.#mustHave(id).isLearner) throw invalid(`${id} is not marked as a learner`);
    }
    if (this.outgoing.size === 0 && this.autoLeave) {
      throw invalid('only a joint configuration can be left automatically');
    }
  }
}

function noNewMember(id: NodeId): Progress {
  throw invalid(`${id} would be new`);
}

function countDifferent(left: ReadonlySet<NodeId>, right: ReadonlySet<NodeId>): number {
  let count = 0;
  for (const id of left) if (!right.has(id)) count++;
  for (const id of right) if (!left.has(id)) count++;
  return count;
}

function ascending(ids: ReadonlySet<NodeId>): NodeId[] {
  return [...ids].sort((a, b) => a - b);
}

function invalid(reason: string): RaftError {
  return new RaftError('ErrConfChangeInvalid', reason);
}
