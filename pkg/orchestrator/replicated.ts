import { serviceMode, type TaskId } from '../model/index.ts';
import { addTask } from './new-task.ts';
import { slotsToRemove } from './scale-down.ts';
import type { SlotKey, Workload } from './workload.ts';

const SLOTS_PER_STEP = 200;

/** Make the number of slots right, with pauses; returns the slots that stay. */
export function* scaleReplicated(
  work: Workload,
  newTaskId: () => TaskId,
): Generator<void, readonly SlotKey[]> {
  const mode = serviceMode(work.spec);
  const replicas = mode.kind === 'replicated' ? mode.replicas : 0;
  const present = work.slots;
  for (const slot of slotsToRemove(work, present, present.length - replicas)) {
    for (const task of [...work.tasks(slot)]) work.set(task, { desiredState: 'remove' });
  }
  let missing = replicas - work.slots.length;
  for (let number = 1; missing > 0; number++) {
    if (number % SLOTS_PER_STEP === 0) yield;
    const slot = String(number);
    if (work.tasks(slot).length > 0) continue;
    addTask(work, { id: newTaskId(), slot, hold: false });
    missing -= 1;
  }
  return work.slots;
}
