import {
  type Change,
  type DeciderInput,
  type Decision,
  type Dirty,
  type InstantMs,
  inSteps,
  isRunnable,
  isTerminal,
  type Node,
  type NodeId,
  type Task,
  updateObject,
  type View,
} from '../model/index.ts';
import { staysUntil } from './drain.ts';
import { countSilence } from './silence.ts';

/** A node that stays down this long has lost its tasks for good (SwarmKit: 24 h). */
const ORPHAN_AFTER_MS = 24 * 60 * 60 * 1000;
const TASKS_PER_STEP = 500;

/**
 * What a lost node means for its tasks: on a node that is down or drained they are no longer wanted (and told so when
 * it is heard again), except that some stay on a drained one until their replacement runs; on one that is gone, or down
 * for a day, they are over.
 */
export const decideNodes = inSteps(function* decideNodes(input) {
  const { view, dirty, now } = input;
  const lost = lostNodes(view);
  const marked = marks(input);
  const changes: Change[] = [...marked.changes];
  let wakeAt = earlier(nextOrphaning(view, lost, now), marked.wakeAt);
  let seen = 0;
  for (const task of stirredTasks(view, dirty, lost)) {
    if (++seen % TASKS_PER_STEP === 0) yield;
    if (task === undefined) continue;
    const { change, until } = fateOf(view, task, lost, now);
    if (change) changes.push(change);
    wakeAt = earlier(wakeAt, until);
  }
  return { changes, wakeAt };
});

/** What the loss of its node means for a task, or when it will mean something. */
function fateOf(
  view: View,
  task: Task,
  lost: ReadonlyMap<NodeId, Node>,
  now: InstantMs,
): { readonly change?: Change; readonly until?: InstantMs } {
  if (task.nodeId === undefined || isTerminal(task.status.state)) return {};
  const node = lost.get(task.nodeId);
  const gone = node === undefined && view.get('node', task.nodeId) === undefined;
  if (!node && !gone) return {};
  const until = node && staysUntil(view, task, node, now);
  if (until !== undefined) return { until };
  const next = afterLoss(task, node, now);
  return next === task ? {} : { change: updateObject('task', next) };
}

/** When each drain began, for its deadline; the mark goes with the drain. And how long nodes that are down are silent. */
function marks(input: DeciderInput): Decision {
  const changes: Change[] = [];
  let wakeAt: InstantMs | undefined;
  for (const node of input.view.list('node')) {
    const drained = node.spec.Availability === 'drain';
    const marked = drained === (node.drainingSince !== undefined);
    const { silence, due } = countSilence(input, node);
    wakeAt = earlier(wakeAt, due);
    if (marked && silence === node.status.silence) continue;
    const drainingSince = marked ? node.drainingSince : drained ? input.now : undefined;
    const status = { ...node.status, silence };
    changes.push(updateObject('node', { ...node, drainingSince, status }));
  }
  return { changes, wakeAt };
}

/** Tasks that changed, and all tasks of the nodes that changed or are lost; each once, undefined the second time. */
function* stirredTasks(
  view: View,
  dirty: Dirty,
  lost: ReadonlyMap<NodeId, Node>,
): Iterable<Task | undefined> {
  for (const id of dirty.tasks) yield view.get('task', id);
  for (const nodeId of new Set([...dirty.nodes, ...lost.keys()])) {
    for (const task of view.tasksOfNode(nodeId)) {
      yield dirty.tasks.has(task.id) ? undefined : task;
    }
  }
}

function lostNodes(view: View): ReadonlyMap<NodeId, Node> {
  const lost = new Map<NodeId, Node>();
  for (const node of view.list('node')) {
    const drained = node.spec.Availability === 'drain';
    if (drained || node.status.state === 'down') lost.set(node.id, node);
  }
  return lost;
}

function afterLoss(task: Task, node: Node | undefined, now: InstantMs): Task {
  const desiredState = isRunnable(task) ? 'shutdown' : task.desiredState;
  if (!node || (orphaningAt(node) ?? Number.MAX_SAFE_INTEGER) <= now) {
    const status = { ...task.status, state: 'orphaned', at: now, message: 'node is lost' } as const;
    return { ...task, desiredState, status };
  }
  return desiredState === task.desiredState ? task : { ...task, desiredState };
}

function orphaningAt(node: Node): InstantMs | undefined {
  if (node.status.state !== 'down') return undefined;
  return (node.status.since + ORPHAN_AFTER_MS) as InstantMs;
}

function nextOrphaning(
  view: View,
  lost: ReadonlyMap<NodeId, Node>,
  now: InstantMs,
): InstantMs | undefined {
  const due = [...lost.values()]
    .filter((node) => [...view.tasksOfNode(node.id)].some((task) => !isTerminal(task.status.state)))
    .flatMap((node) => orphaningAt(node) ?? [])
    .filter((at) => at > now);
  return due.length === 0 ? undefined : (Math.min(...due) as InstantMs);
}

function earlier(left: InstantMs | undefined, right: InstantMs | undefined): InstantMs | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return left < right ? left : right;
}
