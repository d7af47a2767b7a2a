import type { NodeId } from '../model/index.ts';
import { isRunning, runnable } from './slot.ts';
import type { SlotKey, Workload } from './workload.ts';

/**
 * Which `count` slots to give up: first those that do not run, then, one by one, a slot of the node that has most of
 * the service's running tasks; ties go to the highest slot number.
 */
export function slotsToRemove(
  work: Workload,
  slots: readonly SlotKey[],
  count: number,
): readonly SlotKey[] {
  if (count <= 0) return [];
  const idle = slots.filter((slot) => runningNode(work, slot) === undefined);
  const chosen = byNumber(idle).slice(0, count);
  const byNode = new Map<NodeId, SlotKey[]>();
  for (const slot of byNumber(slots)) {
    const node = runningNode(work, slot);
    if (node !== undefined) byNode.set(node, [...(byNode.get(node) ?? []), slot]);
  }
  while (chosen.length < count) {
    const slot = fullest([...byNode.values()])?.shift();
    if (slot === undefined) break;
    chosen.push(slot);
  }
  return chosen;
}

function fullest(groups: readonly SlotKey[][]): SlotKey[] | undefined {
  return groups
    .filter((group) => group.length > 0)
    .toSorted((left, right) => right.length - left.length || Number(right[0]) - Number(left[0]))[0];
}

function runningNode(work: Workload, slot: SlotKey): NodeId | undefined {
  const tasks = runnable(work.tasks(slot));
  return (tasks.find(isRunning) ?? tasks.find((task) => task.status.state === 'starting'))?.nodeId;
}

/** Highest number first. */
function byNumber(slots: readonly SlotKey[]): SlotKey[] {
  return slots.toSorted((left, right) => Number(right) - Number(left));
}
