import { servicePolicy, type Task } from '../model/index.ts';
import { isStopping } from './slot.ts';
import type { SlotKey, Workload } from './workload.ts';

/**
 * May a task of the slot not run because another copy that is fenced may still live? As long as the node of that one can
 * be heard and has not said that it stopped, and then until its fence is over.
 */
export function isFencedOff(work: Workload, slot: SlotKey, id?: string): boolean {
  return [...work.tasks(slot), ...work.leaving(slot)].some(
    (other) =>
      other.id !== id && !isHeld(other) && isFenced(work, other) && isStopping(work, other),
  );
}

function isFenced(work: Workload, task: Task): boolean {
  return servicePolicy(work.specOf(task)).fenceMs > 0;
}

/** Never allowed to run: nothing of it can live. */
function isHeld({ desiredState }: Task): boolean {
  return desiredState === 'ready';
}
