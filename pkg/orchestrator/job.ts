import {
  compareText,
  isSchedulable,
  nodeSatisfies,
  serviceMode,
  type TaskId,
} from '../model/index.ts';
import { addTask } from './new-task.ts';
import { releaseTasks, restartTasks } from './restart.ts';
import { runnable } from './slot.ts';
import type { SlotKey, Workload } from './workload.ts';

/**
 * Run the present iteration of a job: each slot (from 0), or each matching node, until it completed once, at most
 * `maxConcurrent` at a time. Tasks of earlier iterations go away.
 */
export function advanceJob(work: Workload, newTaskId: () => TaskId): void {
  const iteration = work.service.jobIteration ?? 0;
  for (const task of work.all()) {
    if ((task.jobIteration ?? 0) !== iteration) work.set(task, { desiredState: 'remove' });
  }
  const started = wantedSlots(work).filter((slot) => work.tasks(slot).length > 0);
  const unfinished = started.filter((slot) => !isDone(work, slot));
  restartTasks(work, unfinished, newTaskId);
  let room =
    concurrency(work) - started.filter((slot) => runnable(work.tasks(slot)).length > 0).length;
  for (const slot of wantedSlots(work)) {
    if (room <= 0) break;
    if (work.tasks(slot).length > 0) continue;
    addTask(work, { id: newTaskId(), slot, hold: false });
    room -= 1;
  }
  releaseTasks(work, unfinished);
}

function isDone(work: Workload, slot: SlotKey): boolean {
  return work.tasks(slot).some((task) => task.status.state === 'complete');
}

function concurrency(work: Workload): number {
  const mode = serviceMode(work.spec);
  if (mode.kind !== 'replicated-job') return Number.MAX_SAFE_INTEGER;
  return mode.maxConcurrent === 0 ? mode.totalCompletions : mode.maxConcurrent;
}

function wantedSlots(work: Workload): readonly SlotKey[] {
  const mode = serviceMode(work.spec);
  if (mode.kind === 'replicated-job') {
    return Array.from({ length: mode.totalCompletions }, (_, index) => String(index));
  }
  const constraints = work.spec.TaskTemplate?.Placement?.Constraints ?? [];
  return [...work.view.list('node')]
    .filter((node) => isSchedulable(node) && nodeSatisfies(node, constraints))
    .map((node) => node.id as string)
    .toSorted(compareText);
}
