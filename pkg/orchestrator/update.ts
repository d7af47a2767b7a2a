import {
  type InstantMs,
  isRunnable,
  isTerminal,
  restartPolicy,
  type Service,
  serviceAwaitedUntil,
  servicePolicy,
  type Task,
  type TaskId,
  type UpdatePolicy,
  type UpdateStatus,
  updatePolicy,
} from '../model/index.ts';
import { Spare } from './min-available.ts';
import { addTask } from './new-task.ts';
import { mayRestart, wasForced } from './restart.ts';
import { rollBack } from './rollback.ts';
import { inParts, isDirtySlot, isOnDrainingNode, isRunning, newest, runnable } from './slot.ts';
import type { SlotKey, Workload } from './workload.ts';

type Active = UpdateStatus['active'][number];

/**
 * Bring the slots to the present spec, as many at a time as the policy allows, with pauses; everything counted is in the
 * service.
 */
export function* advanceUpdate(
  work: Workload,
  slots: readonly SlotKey[],
  newTaskId: () => TaskId,
): Generator<void, void> {
  yield* begin(work, slots);
  watchReplacements(work, slots);
  yield* inParts(slots, (part) => settleSlots(work, part));
  if (!inProgress(work.service)) return;
  yield* takeSlots(work, slots, newTaskId);
  complete(work, slots);
  endIfOverdue(work, slots);
}

/**
 * A slot needs one running task: the newest of the present version, else the newest. Once it serves, what it replaces
 * is stopped, and so is what was to replace it with another version; also when the update is paused.
 */
function settleSlots(work: Workload, slots: readonly SlotKey[]): void {
  for (const slot of slots.filter((each) => work.tasks(each).length > 1)) {
    const alive = runnable(work.tasks(slot));
    if (alive.length < 2) continue;
    // Whoever takes over without an update, a drain or a move has nobody's connections to take over.
    const awaited =
      inProgress(work.service) ||
      alive.some((task) => task.move !== undefined || isOnDrainingNode(work, task));
    const serves = (task: Task): boolean =>
      isRunning(task) && (!awaited || isReachable(work, task));
    const matching = alive.findLastIndex((task) => serves(task) && !work.isDirty(task));
    const serving = matching >= 0 ? matching : alive.findLastIndex(serves);
    if (matching < 0) stopReplaced(work, alive);
    for (const [at, task] of alive.entries()) {
      const surplus = at < serving || (at > matching && matching >= 0 && work.isDirty(task));
      if (surplus) work.set(task, { desiredState: 'shutdown' });
    }
  }
}

/**
 * What is held waits for the tasks before it to stop, so they must have been told. A pass may be written in part: what
 * was to stop reported something in between, and only its replacement was written.
 */
function stopReplaced(work: Workload, alive: readonly Task[]): void {
  const last = newest(alive);
  if (last?.desiredState !== 'ready' || work.isDirty(last)) return;
  for (const task of alive) {
    if (work.isDirty(task)) work.set(task, { desiredState: 'shutdown' });
  }
}

/**
 * Asks to be called again while a running task may not be known everywhere. Only for what takes over by an update or
 * from a drained node: nobody finds out otherwise, and nobody would call again.
 */
function isReachable(work: Workload, task: Task): boolean {
  const until = serviceAwaitedUntil(task, work.now);
  if (until !== undefined) work.wake(until);
  return until === undefined;
}

function inProgress(service: Service): boolean {
  const state = service.updateStatus?.state;
  return state === 'updating' || state === 'rollback_started';
}

function isRollback(service: Service): boolean {
  const state = service.updateStatus?.state;
  return state === 'rollback_started' || state === 'rollback_paused';
}

function policyOf(service: Service): UpdatePolicy {
  const { spec } = service;
  return updatePolicy(isRollback(service) ? spec.RollbackConfig : spec.UpdateConfig);
}

function setStatus(work: Workload, change: Partial<UpdateStatus>): void {
  const before = work.service.updateStatus;
  if (before) work.setService({ updateStatus: { ...before, ...change } });
}

/** An update starts when slots turn out not to match; a rollback asked for by the user is already marked as started. */
function* begin(work: Workload, slots: readonly SlotKey[]): Generator<void, void> {
  const status = work.service.updateStatus;
  const state = status?.state;
  const settled = !status || state === 'completed' || state === 'rollback_completed';
  const uncounted = inProgress(work.service) && status?.slotsTotal === 0;
  if (!settled && !uncounted) return;
  const slotsTotal = (yield* dirtySlots(work, slots)).length;
  if (slotsTotal === 0) return;
  if (uncounted) setStatus(work, { slotsTotal, progressAt: work.now });
  else {
    const fresh = { state: 'updating', message: 'update in progress' } as const;
    const { now } = work;
    const counters = { startedAt: now, progressAt: now, slotsTotal, failures: 0, active: [] };
    work.setService({ updateStatus: { ...fresh, ...counters } });
  }
}

/** Look at every replacement under watch: did it come up, has it stood its monitor period, did it fail? */
function watchReplacements(work: Workload, slots: readonly SlotKey[]): void {
  const status = work.service.updateStatus;
  if (!status || !inProgress(work.service) || status.active.length === 0) return;
  const policy = policyOf(work.service);
  const live = new Set(slots);
  const seen = status.active.map((entry) => look(work, policy, live, entry));
  const failed = seen.flatMap((verdict) => (verdict.kind === 'failed' ? [verdict.task] : []));
  const active = seen.flatMap((verdict) => (verdict.kind === 'watch' ? [verdict.entry] : []));
  const paced = seen.some((verdict) => verdict.paced);
  if (paced || active.length !== status.active.length || moved(active, status.active)) {
    const nextAt = paced ? pace(work, policy, status, failed) : status.nextAt;
    const better = seen.some(
      ({ kind, paced: came }) => kind === 'over' || (kind === 'watch' && came),
    );
    const progressAt = better ? work.now : status.progressAt;
    setStatus(work, { active, failures: status.failures + failed.length, nextAt, progressAt });
  }
  const [first] = failed;
  if (first) onFailure(work, policy, first);
}

type Verdict = { readonly paced: boolean } & (
  | { readonly kind: 'watch'; readonly entry: Active }
  | { readonly kind: 'failed'; readonly task: Task }
  | { readonly kind: 'over' }
);

function look(
  work: Workload,
  policy: UpdatePolicy,
  live: ReadonlySet<SlotKey>,
  entry: Active,
): Verdict {
  const tasks = work.tasks(entry.slot);
  const task = tasks.find(({ id }) => id === entry.taskId);
  if (!live.has(entry.slot)) return { kind: 'over', paced: false };
  if (!task || (!isRunnable(task) && wasForced(task))) return succeeded(work, entry, tasks);
  const { runningSince } = entry;
  const until = runningSince === undefined ? undefined : runningSince + policy.monitorMs;
  if (isTerminal(task.status.state)) {
    const late = until !== undefined && task.status.at > until;
    return late ? { kind: 'over', paced: false } : { kind: 'failed', task, paced: true };
  }
  if (task.status.state !== 'running') return { kind: 'watch', entry, paced: false };
  if (until === undefined && !isReachable(work, task)) {
    return { kind: 'watch', entry, paced: false };
  }
  if (until === undefined) return cameUp(work, policy, entry);
  if (work.now >= until) return { kind: 'over', paced: false };
  work.wake(until as InstantMs);
  return { kind: 'watch', entry, paced: false };
}

/** A replacement that was stopped from outside (drain, lost node) is no failure: what takes its place is watched. */
function succeeded(work: Workload, entry: Active, tasks: readonly Task[]): Verdict {
  const successor = newest(runnable(tasks)) ?? newest(tasks);
  if (!successor || work.isDirty(successor)) return { kind: 'over', paced: false };
  const { slot } = entry;
  if (isRunnable(successor)) {
    return { kind: 'watch', paced: false, entry: { slot, taskId: successor.id } };
  }
  return mayRestart(work, successor)
    ? { kind: 'watch', paced: false, entry: { slot, taskId: entry.taskId } }
    : { kind: 'over', paced: false };
}

function cameUp(work: Workload, policy: UpdatePolicy, entry: Active): Verdict {
  work.wake((work.now + policy.monitorMs) as InstantMs);
  return { kind: 'watch', entry: { ...entry, runningSince: work.now }, paced: true };
}

function moved(after: readonly Active[], before: readonly Active[]): boolean {
  return after.some((entry, at) => entry !== before[at]);
}

/** When slots may be taken again; a slot that failed and keeps its old task is not tried again at once. */
function pace(
  work: Workload,
  policy: UpdatePolicy,
  status: UpdateStatus,
  failed: readonly Task[],
): InstantMs {
  const backOff = failed.length > 0 ? restartPolicy(work.spec).delayMs : 0;
  const next = work.now + Math.max(policy.delayMs, backOff);
  return Math.max(next, status.nextAt ?? 0) as InstantMs;
}

function onFailure(work: Workload, policy: UpdatePolicy, task: Task): void {
  const status = work.service.updateStatus;
  if (!status || policy.failureAction === 'continue') return;
  if (status.failures <= policy.maxFailureRatio * status.slotsTotal) return;
  const cause = `due to failure or early termination of task ${task.id}`;
  if (policy.failureAction === 'pause') pause(work, `update paused ${cause}`);
  else if (isRollback(work.service)) pause(work, `rollback paused ${cause}`);
  else if (!work.service.previousSpec) pause(work, `update paused ${cause}`);
  else rollBack(work, `update rolled back ${cause}`);
}

function pause(work: Workload, message: string): void {
  const state = isRollback(work.service) ? 'rollback_paused' : 'paused';
  setStatus(work, { state, message, active: [], nextAt: undefined });
}

/** An update in which nothing comes up (no image, no room, never healthy) does not go on for ever. */
function endIfOverdue(work: Workload, slots: readonly SlotKey[]): void {
  const status = work.service.updateStatus;
  const { progressDeadlineMs } = servicePolicy(work.spec);
  if (!status || !inProgress(work.service) || progressDeadlineMs === 0) return;
  const { active } = status;
  // Everything that was replaced runs: the monitor periods end by themselves.
  if (active.length > 0 && active.every(({ runningSince }) => runningSince !== undefined)) return;
  // The delay between slots is no lack of progress; that after a failure is.
  const since = (status.progressAt ?? status.startedAt) + policyOf(work.service).delayMs;
  const due = (since + progressDeadlineMs) as InstantMs;
  if (work.now < due) {
    work.wake(due);
    return;
  }
  const cause = `because nothing came up in ${progressDeadlineMs / 1000} s${obstacle(work, slots)}`;
  if (isRollback(work.service)) pause(work, `rollback paused ${cause}`);
  else if (policyOf(work.service).failureAction === 'rollback' && work.service.previousSpec) {
    rollBack(work, `update rolled back ${cause}`);
  } else pause(work, `update paused ${cause}`);
  setStatus(work, { overdue: true });
}

/** What the first slot that does not run says of itself. */
function obstacle(work: Workload, slots: readonly SlotKey[]): string {
  for (const slot of slots) {
    const last = newest(work.tasks(slot));
    if (!last || isRunning(last)) continue;
    const { state, error } = last.status;
    return `: task ${last.id} is ${state}${error ? ` (${error})` : ''}`;
  }
  return '';
}

function* dirtySlots(
  work: Workload,
  slots: readonly SlotKey[],
): Generator<void, readonly SlotKey[]> {
  const dirty: SlotKey[] = [];
  yield* inParts(slots, (part) => {
    for (const slot of part) if (isDirtySlot(work, slot)) dirty.push(slot);
  });
  return dirty;
}

function* takeSlots(
  work: Workload,
  slots: readonly SlotKey[],
  newTaskId: () => TaskId,
): Generator<void, void> {
  const status = work.service.updateStatus;
  if (!status) return;
  const policy = policyOf(work.service);
  const starting = status.active.filter(({ runningSince }) => runningSince === undefined).length;
  const room = policy.parallelism === 0 ? slots.length : policy.parallelism - starting;
  const watched = new Set(status.active.map(({ slot }) => slot));
  const dirty = yield* dirtySlots(work, slots);
  const waiting = dirty.filter((slot) => !watched.has(slot));
  if (waiting.length === 0 || room <= 0) return;
  if (status.nextAt !== undefined && status.nextAt > work.now) {
    work.wake(status.nextAt);
    return;
  }
  const taken = idleFirst(work, waiting).slice(0, room);
  const spare = new Spare(work, slots);
  const added = taken.map((slot): Active => {
    const overlap = policy.order === 'start-first' || !spare.give(slot);
    const task = replaceSlot(work, overlap, slot, newTaskId());
    return { slot, taskId: task.id };
  });
  setStatus(work, { active: [...status.active, ...added] });
}

/** Slots without a running task have nothing to lose and go first. */
function idleFirst(work: Workload, slots: readonly SlotKey[]): readonly SlotKey[] {
  const runs = (slot: SlotKey): boolean => work.tasks(slot).some(isRunning);
  return [...slots.filter((slot) => !runs(slot)), ...slots.filter(runs)];
}

function replaceSlot(work: Workload, keepsServing: boolean, slot: SlotKey, id: TaskId): Task {
  for (const task of runnable(work.tasks(slot))) {
    if (keepsServing && isRunning(task)) continue;
    work.set(task, { desiredState: 'shutdown' });
  }
  return addTask(work, { id, slot, hold: !keepsServing });
}

/**
 * Complete only when no slot is left to do and each runs, or gave up, in the present version; as a pass of its own, for a
 * leader that is lost while it writes must not leave the end of an update that is not over.
 */
function complete(work: Workload, slots: readonly SlotKey[]): void {
  const status = work.service.updateStatus;
  if (!status || status.active.length > 0 || work.isTouched) return;
  if (!slots.every((slot) => isSettled(work, slot))) return;
  const rollback = isRollback(work.service);
  setStatus(work, {
    state: rollback ? 'rollback_completed' : 'completed',
    message: rollback ? 'rollback completed' : 'update completed',
    completedAt: work.now,
    nextAt: undefined,
  });
}

function isSettled(work: Workload, slot: SlotKey): boolean {
  const tasks = work.tasks(slot);
  const alive = runnable(tasks);
  if (alive.some((task) => work.isDirty(task))) return false;
  if (alive.length > 0) return alive.some(isRunning);
  const last = newest(tasks);
  return last !== undefined && !work.isDirty(last) && !mayRestart(work, last);
}
