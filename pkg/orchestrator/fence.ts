import { fenceEnd, type InstantMs, servicePolicy, type Task } from '../model/index.ts';
import { isStopping } from './slot.ts';
import type { SlotKey, Workload } from './workload.ts';

/**
 * Until when a task of the slot may not run because another copy that is fenced may still live: the end of its node's
 * fence, or for ever while the node can be heard and has not said that it stopped. Undefined: nothing is in the way.
 */
export function fencedOffUntil(work: Workload, slot: SlotKey, id?: string): InstantMs | undefined {
  let until: InstantMs | undefined;
  for (const other of [...work.tasks(slot), ...work.leaving(slot)]) {
    if (other.id === id || isHeld(other) || !isFenced(work, other) || !isStopping(work, other)) {
      continue;
    }
    const end = fencedUntil(work, other) ?? (Number.POSITIVE_INFINITY as InstantMs);
    if (until === undefined || end > until) until = end;
  }
  return until;
}

/** A fenced task on a node that is down may run until then: the node, which was last heard before `since`, kills it. */
function fencedUntil(work: Workload, task: Task): InstantMs | undefined {
  const node = work.nodeOf(task);
  return node && fenceEnd(node, servicePolicy(work.specOf(task)).fenceMs);
}

function isFenced(work: Workload, task: Task): boolean {
  return servicePolicy(work.specOf(task)).fenceMs > 0;
}

/** Never allowed to run: nothing of it can live. */
function isHeld({ desiredState }: Task): boolean {
  return desiredState === 'ready';
}
