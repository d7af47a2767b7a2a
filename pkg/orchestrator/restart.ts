import {
  type InstantMs,
  isRunnable,
  isTerminal,
  type RestartPolicy,
  restartPolicy,
  servicePolicy,
  stopGraceMs,
  type Task,
  type TaskId,
  updatePolicy,
} from '../model/index.ts';
import { isFencedOff } from './fence.ts';
import { addTask, startedState } from './new-task.ts';
import { isNodeLost, isStopping, newest } from './slot.ts';
import type { SlotKey, Workload } from './workload.ts';

/** A held task runs after this long (plus the stop grace period) even if its predecessor never reports its end. */
const OLD_TASK_TIMEOUT_MS = 60_000;

const BACK_OFF_MIN_MS = 100;

/** Fill every slot whose last task is over, as its restart policy says; a slot that gave up stays as it is. */
export function restartTasks(
  work: Workload,
  slots: readonly SlotKey[],
  newTaskId: () => TaskId,
): void {
  for (const slot of slots) {
    const tasks = work.tasks(slot);
    const last = newest(tasks);
    if (!last || tasks.some(isRunnable)) continue;
    const held = mayRestart(work, last) ? remainingDelay(work, last) : undefined;
    if (held !== undefined) {
      work.wake(held);
      continue;
    }
    if (isTerminal(last.status.state) && last.desiredState !== 'shutdown') {
      work.set(last, { desiredState: 'shutdown' });
    }
    if (mayRestart(work, last)) replaceTask(work, slot, last, newTaskId());
  }
}

/**
 * A task that failed while it was held, as when its image cannot be had, has not used up its delay: the next one waits
 * for the rest of it, else a missing image would be asked for without pause. Not when the next one is of another version.
 */
function remainingDelay(work: Workload, last: Task): InstantMs | undefined {
  const { startAfter } = last;
  if (startAfter === undefined || startAfter <= work.now) return undefined;
  if (last.desiredState !== 'ready') return undefined;
  const another = versionToRestart(work, last) !== last.specVersion && work.isDirty(last);
  return wasForced(last) || another || isNodeLost(work, last) ? undefined : startAfter;
}

/** Does the policy want another task after `last`? Judged as of the moment it ended, so that time changes nothing. */
export function mayRestart(work: Workload, last: Task): boolean {
  const policy = restartPolicy(work.specOf(last));
  if (policy.condition === 'none') return false;
  if (wasForced(last)) return true;
  if (policy.condition === 'on-failure' && last.status.state === 'complete') return false;
  return policy.maxAttempts === 0 || attemptsAt(last, policy) < policy.maxAttempts;
}

/** It did not end by itself: it was told to stop, or its node was lost. */
export function wasForced({ status: { state } }: Task): boolean {
  return !isTerminal(state) || state === 'shutdown' || state === 'orphaned';
}

function attemptsAt(last: Task, policy: RestartPolicy): number {
  const restarts = last.restarts ?? [];
  if (policy.windowMs === 0) return restarts.length;
  return restarts.filter((at) => at >= last.status.at - policy.windowMs).length;
}

function replaceTask(work: Workload, slot: SlotKey, last: Task, id: TaskId): void {
  const policy = restartPolicy(work.specOf(last));
  const lost = isNodeLost(work, last);
  const failures = failuresInRow(work, last, policy);
  const delayMs = restartDelayMs(work, policy, failures);
  const delayed = !wasForced(last) && !lost && delayMs > 0;
  const overlap = updatePolicy(work.spec.UpdateConfig).order === 'start-first';
  const specVersion = versionToRestart(work, last);
  const fresh = work.isDirty(last) && specVersion !== last.specVersion;
  addTask(work, {
    id,
    slot,
    hold: delayed || (!overlap && isStopping(work, last)),
    startAfter: delayed ? ((work.now + delayMs) as InstantMs) : undefined,
    restarts: fresh ? undefined : history(work, last, policy),
    failures: fresh || failures === 0 ? undefined : failures,
    specVersion,
  });
}

/** Failures without a long run between them, `last` included. A task that was told to stop changes nothing. */
function failuresInRow(work: Workload, last: Task, policy: RestartPolicy): number {
  const before = last.failures ?? 0;
  if (wasForced(last)) return before;
  if (last.status.state === 'complete') return 0;
  const held = before === 0 ? 0 : restartDelayMs(work, policy, before);
  const ranMs = last.status.at - last.createdAt - held;
  return (ranMs >= restartMaxDelay(work, policy) ? 0 : before) + 1;
}

/**
 * The delay before the next try: it doubles with each failure in a row, also one that is given as nothing, else an image
 * that cannot be had would be asked for without pause. A policy that limits the attempts has an end of its own, and its
 * window is measured with the delay as given.
 */
function restartDelayMs(work: Workload, policy: RestartPolicy, failures: number): number {
  const { delayMs, maxAttempts } = policy;
  if (failures < 2 || maxAttempts > 0) return delayMs;
  const doubled = Math.max(delayMs, BACK_OFF_MIN_MS) * 2 ** Math.min(failures - 1, 30);
  return Math.min(doubled, restartMaxDelay(work, policy));
}

function restartMaxDelay(work: Workload, { delayMs }: RestartPolicy): number {
  return Math.max(delayMs, servicePolicy(work.spec).restartMaxDelayMs);
}

/** Restarts still worth remembering; one that was forced from outside (drain, lost node) is no attempt. */
function history(
  work: Workload,
  last: Task,
  policy: RestartPolicy,
): readonly InstantMs[] | undefined {
  if (policy.maxAttempts === 0) return undefined;
  const past = last.restarts ?? [];
  const all = wasForced(last) ? past : [...past, work.now];
  return all.slice(-policy.maxAttempts);
}

/** While an update is under way or paused, a slot it has not reached yet keeps the version it has. */
export function versionToRestart(work: Workload, last: Task): number {
  const state = work.service.updateStatus?.state;
  const halfway =
    state === 'updating' ||
    state === 'paused' ||
    state === 'rollback_started' ||
    state === 'rollback_paused';
  const known = work.view.revision(last.serviceId, last.specVersion) !== undefined;
  return halfway && known && work.isDirty(last) ? last.specVersion : work.service.specVersion;
}

/** Let held tasks run once their delay is over and their predecessors have really stopped. */
export function releaseTasks(work: Workload, slots: readonly SlotKey[]): void {
  for (const slot of slots) {
    for (const task of work.tasks(slot)) {
      if (task.desiredState !== 'ready' || isTerminal(task.status.state)) continue;
      const due = dueAt(work, slot, task);
      if (due > work.now) {
        if (Number.isFinite(due)) work.wake(due);
      } else {
        const job = task.jobIteration !== undefined;
        work.set(task, { desiredState: startedState(job), startAfter: undefined });
      }
    }
  }
}

function dueAt(work: Workload, slot: SlotKey, task: Task): InstantMs {
  // Somebody else calls then: the node says that the other copy ended, or its silence is noted.
  if (isFencedOff(work, slot, task.id)) return Number.POSITIVE_INFINITY as InstantMs;
  const delayed = task.startAfter ?? work.now;
  const blocked = work
    .tasks(slot)
    .some(
      (other) => other.createdAt <= task.createdAt && other.id !== task.id && blocks(work, other),
    );
  if (!blocked) return delayed;
  const patience = stopGraceMs(work.specOf(task)) + OLD_TASK_TIMEOUT_MS;
  return Math.max(delayed, task.createdAt + patience) as InstantMs;
}

function blocks(work: Workload, other: Task): boolean {
  // On a node that is down only a fence is waited for, not patience.
  const heard = work.nodeOf(other)?.status.state !== 'down';
  return other.desiredState === 'shutdown' && heard && isStopping(work, other);
}
