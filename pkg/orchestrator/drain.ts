import {
  type InstantMs,
  isDraining,
  isRunnable,
  type Node,
  restartPolicy,
  type ServiceSpec,
  serviceMode,
  servicePolicy,
  type Task,
  type TaskId,
  updatePolicy,
  type View,
} from '../model/index.ts';
import { addTask } from './new-task.ts';
import { versionToRestart } from './restart.ts';
import { isRunning, newest, runnable } from './slot.ts';
import type { SlotKey, Workload } from './workload.ts';

/**
 * Until when a running task stays on a node that is being drained, for its replacement to run first: with
 * `start-first`, or when the service says how many tasks must be there. Undefined: it has to go now.
 */
export function staysUntil(
  view: View,
  task: Task,
  node: Node,
  now: InstantMs,
): InstantMs | undefined {
  if (!isDraining(node)) return undefined;
  if (!isRunnable(task) || task.status.state !== 'running') return undefined;
  const spec = view.get('service', task.serviceId)?.spec;
  if (!spec || !replacesFirst(spec)) return undefined;
  const until = ((node.drainingSince ?? now) + servicePolicy(spec).drainDeadlineMs) as InstantMs;
  return now < until ? until : undefined;
}

/** Slots whose only task is to leave its node get another beside it; the old one goes when it serves. */
export function replaceLeaving(
  work: Workload,
  slots: readonly SlotKey[],
  newTaskId: () => TaskId,
): void {
  for (const slot of slots) {
    const tasks = work.tasks(slot);
    const alive = runnable(tasks);
    const [only] = alive;
    if (!only || alive.length > 1 || !leaves(work, only)) continue;
    const last = newest(tasks);
    if (last && only.move && last.createdAt >= only.move.at) {
      // The other one ended before it served: moving is not worth another try at once.
      work.set(only, { move: undefined });
      continue;
    }
    // The one before failed: its successor waits as any restarted task does.
    const due = last && last !== only ? last.status.at + restartPolicy(work.spec).delayMs : 0;
    if (due > work.now) {
      work.wake(due as InstantMs);
      continue;
    }
    addTask(work, {
      id: newTaskId(),
      slot,
      hold: false,
      specVersion: versionToRestart(work, only),
    });
  }
}

/** It is on a node that is being drained and may wait there for its replacement, or a better node was found for it. */
function leaves(work: Workload, task: Task): boolean {
  if (task.move) return isRunning(task);
  const node = replacesFirst(work.spec) ? work.nodeOf(task) : undefined;
  return node !== undefined && staysUntil(work.view, task, node, work.now) !== undefined;
}

function replacesFirst(spec: ServiceSpec): boolean {
  if (serviceMode(spec).kind !== 'replicated') return false;
  const { minAvailable } = servicePolicy(spec);
  const needed = 'tasks' in minAvailable ? minAvailable.tasks : minAvailable.percent;
  return needed > 0 || updatePolicy(spec.UpdateConfig).order === 'start-first';
}
