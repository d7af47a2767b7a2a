import {
  compareText,
  isSchedulable,
  type Node,
  nodeSatisfies,
  type TaskId,
} from '../model/index.ts';
import { addTask } from './new-task.ts';
import { runnable } from './slot.ts';
import type { SlotKey, Workload } from './workload.ts';

/**
 * One slot on every one of the nodes that is ready, active and satisfies the constraints. A node that pauses or is not heard keeps
 * what it has; one that is drained, down or no longer wanted stops it. Returns the slots that are alive.
 */
export function spreadGlobal(
  work: Workload,
  among: Iterable<Node>,
  newTaskId: () => TaskId,
): readonly SlotKey[] {
  const constraints = work.spec.TaskTemplate?.Placement?.Constraints ?? [];
  for (const slot of work.slots) stopUnwanted(work, slot, constraints);
  const nodes = [...among].toSorted((left, right) => compareText(left.id, right.id));
  const wanted = nodes.filter((node) => isSchedulable(node) && nodeSatisfies(node, constraints));
  for (const { id } of wanted) {
    if (work.tasks(id).length === 0) addTask(work, { id: newTaskId(), slot: id, hold: false });
  }
  return wanted.map(({ id }) => id);
}

function stopUnwanted(work: Workload, slot: SlotKey, constraints: readonly string[]): void {
  const tasks = work.tasks(slot);
  const [first] = tasks;
  const node = first && work.nodeOf(first);
  if (node && !isUnwanted(node, constraints)) return;
  const desiredState = node ? 'shutdown' : 'remove';
  for (const task of node ? runnable(tasks) : [...tasks]) work.set(task, { desiredState });
}

function isUnwanted(node: Node, constraints: readonly string[]): boolean {
  const lost = node.status.state === 'down' || node.spec.Availability === 'drain';
  return lost || (node.description !== undefined && !nodeSatisfies(node, constraints));
}
