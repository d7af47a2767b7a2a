import {
  compareTaskState,
  isDraining,
  isFenceOver,
  isRunnable,
  isTerminal,
  servicePolicy,
  type Task,
} from '../model/index.ts';
import type { SlotKey, Workload } from './workload.ts';

const SLOTS_PER_STEP = 500;

/** Does `work` for all slots, with pauses between parts of them. */
export function* inParts(
  slots: readonly SlotKey[],
  work: (part: readonly SlotKey[]) => void,
): Generator<void, void> {
  for (let at = 0; at < slots.length; at += SLOTS_PER_STEP) {
    work(slots.slice(at, at + SLOTS_PER_STEP));
    yield;
  }
}

export function newest(tasks: readonly Task[]): Task | undefined {
  return tasks.at(-1);
}

/** Wanted alive and not over, oldest first. */
export function runnable(tasks: readonly Task[]): readonly Task[] {
  return tasks.filter(isRunnable);
}

export function isRunning(task: Task): boolean {
  return isRunnable(task) && task.status.state === 'running';
}

/** The node cannot run anything for us: it is gone, its lease ended, or it is being emptied. */
export function isNodeLost(work: Workload, task: Task): boolean {
  if (task.nodeId === undefined) return false;
  const node = work.nodeOf(task);
  return !node || node.status.state === 'down' || node.spec.Availability === 'drain';
}

export function isOnDrainingNode(work: Workload, task: Task): boolean {
  const node = work.nodeOf(task);
  return node !== undefined && isDraining(node);
}

/** Does the task still hold its place on a machine that would tell us when it is over, or kills it when its fence ends? */
export function isStopping(work: Workload, task: Task): boolean {
  const { state } = task.status;
  if (isTerminal(state) || compareTaskState(state, 'assigned') < 0) return false;
  const node = work.nodeOf(task);
  if (!node) return false;
  if (node.status.state !== 'down') return true;
  const { fenceMs } = servicePolicy(work.specOf(task));
  return fenceMs > 0 && !isFenceOver(node, fenceMs);
}

/** Nothing of the present spec runs or is about to run in the slot. */
export function isDirtySlot(work: Workload, slot: SlotKey): boolean {
  const tasks = work.tasks(slot);
  const last = tasks.findLast(isRunnable) ?? newest(tasks);
  return last !== undefined && work.isDirty(last);
}
