import {
  type Change,
  type DeciderInput,
  type InstantMs,
  inSteps,
  isRunnable,
  type NodeId,
  type Service,
  type ServiceId,
  type Slot,
  serviceMode,
  type Task,
  updateObject,
  type View,
} from '../model/index.ts';
import { replaceLeaving } from './drain.ts';
import { spreadGlobal } from './global.ts';
import { advanceJob } from './job.ts';
import { scaleReplicated } from './replicated.ts';
import { releaseTasks, restartTasks } from './restart.ts';
import { inParts, isDirtySlot } from './slot.ts';
import { Stirred, tasksOfSlots } from './stirred.ts';
import { advanceUpdate } from './update.ts';
import { type SlotKey, Workload } from './workload.ts';

const CHANGES_PER_STEP = 200;
const TASKS_PER_STEP = 500;

/**
 * Which tasks should exist: every service that changed, whose tasks or nodes changed, or that has something due, is
 * brought one step closer to its spec. Tasks of services that are gone are told to go.
 */
export const decideServices = inSteps(function* decideServices(input) {
  const { view, now } = input;
  const survey = yield* surveyTasks(input);
  const changes: Change[] = [...survey.orphans];
  let wakeAt = survey.wakeAt;
  for (const service of view.list('service')) {
    if (!survey.stirred.has(service.id) && !isUpdating(service)) continue;
    const part = yield* partialWork(input, service, survey.stirred);
    const work = part?.work ?? (yield* Workload.inSteps(view, now, service));
    yield* reconcile(work, input, part?.slots);
    for (const change of work.changes()) {
      changes.push(change);
      if (changes.length % CHANGES_PER_STEP === 0) yield;
    }
    wakeAt = earlier(wakeAt, work.wakeAt);
    yield;
  }
  return { changes, wakeAt };
});

/**
 * Only these slots of the service, where nothing can be missing elsewhere: their number is right, no update is under
 * way, and none begins, for that counts all slots. Undefined: all of it has to be looked at.
 */
function* partialWork(
  { view, now }: DeciderInput,
  service: Service,
  stirred: Stirred,
): Generator<void, { readonly work: Workload; readonly slots: ReadonlySet<Slot> } | undefined> {
  const slots = stirred.partOf(service);
  if (!slots || !hasNoUpdate(service)) return undefined;
  const mode = serviceMode(service.spec);
  const isRight = mode.kind !== 'replicated' || mode.replicas === view.countSlots(service.id);
  if (!isRight) return undefined;
  const tasks = tasksOfSlots(view, service.id, slots);
  const work = yield* Workload.inSteps(view, now, service, tasks);
  return work.slots.some((slot) => isDirtySlot(work, slot)) ? undefined : { work, slots };
}

/** Pauses between its parts: a single service may have tens of thousands of tasks. */
function* reconcile(
  work: Workload,
  input: DeciderInput,
  part: ReadonlySet<Slot> | undefined,
): Generator<void, void> {
  const { kind } = serviceMode(work.spec);
  if (kind === 'replicated-job' || kind === 'global-job') {
    advanceJob(work, input.newTaskId);
    return;
  }
  const slots = yield* slotsOf(work, input, part);
  yield;
  yield* advanceUpdate(work, slots, input.newTaskId);
  if (kind === 'replicated') {
    yield* inParts(slots, (some) => replaceLeaving(work, some, input.newTaskId));
  }
  yield* inParts(slots, (some) => restartTasks(work, some, input.newTaskId));
  yield* inParts(slots, (some) => releaseTasks(work, some));
}

/** The slots that there are to be; what is missing is made, what is too much is told to go. */
function* slotsOf(
  work: Workload,
  { view, newTaskId }: DeciderInput,
  part: ReadonlySet<Slot> | undefined,
): Generator<void, readonly SlotKey[]> {
  if (serviceMode(work.spec).kind !== 'global') {
    return part ? work.slots : yield* scaleReplicated(work, newTaskId);
  }
  const nodes = part
    ? [...part].flatMap((id) => view.get('node', id as NodeId) ?? [])
    : view.list('node');
  return spreadGlobal(work, nodes, newTaskId);
}

interface Survey {
  readonly stirred: Stirred;
  readonly orphans: readonly Change[];
  readonly wakeAt: InstantMs | undefined;
}

/** Whose service is gone, whose waiting time is over, what changed. Costs what changed and what waits. */
function* surveyTasks(input: DeciderInput): Generator<void, Survey> {
  const { view, now } = input;
  const stirred = yield* stirredServices(input);
  let wakeAt: InstantMs | undefined;
  let seen = 0;
  for (const task of view.waitingTasks()) {
    if (++seen % TASKS_PER_STEP === 0) yield;
    const due = dueAt(task, now);
    if (due === undefined) continue;
    if (due <= now) stirred.addSlotOf(task);
    else if (!stirred.isWhole(task.serviceId)) wakeAt = earlier(wakeAt, due);
  }
  return { stirred, orphans: orphans(view, stirred), wakeAt };
}

function* stirredServices({ view, dirty }: DeciderInput): Generator<void, Stirred> {
  const stirred = new Stirred(dirty);
  for (const id of dirty.nodes) {
    yield;
    for (const task of view.tasksOfNode(id)) stirred.addSlotOf(task);
  }
  for (const id of dirty.nodes.size > 0 ? perNodeServices(view) : []) {
    for (const node of dirty.nodes) stirred.addSlotOn(id, node);
  }
  let seen = 0;
  for (const id of dirty.tasks) {
    if (++seen % TASKS_PER_STEP === 0) yield;
    const task = view.get('task', id);
    if (task && cameUp(view, task)) stirred.addSlotOf(task);
  }
  // Replacements of what runs on a drained node may have become reachable.
  for (const task of drainedTasks(view)) stirred.addSlotOf(task);
  return stirred;
}

/** When one of two tasks of a slot has come up, the other may have to go. */
function cameUp(view: View, task: Task): boolean {
  return task.status.state === 'running' && view.hasSharedSlot(task.serviceId);
}

function* drainedTasks(view: View): Iterable<Task> {
  for (const { id, spec } of view.list('node')) {
    if (spec.Availability !== 'drain') continue;
    for (const task of view.tasksOfNode(id)) if (isRunnable(task)) yield task;
  }
}

/** Tasks whose service is gone; its removal, or a change of the task, made it known. */
function orphans(view: View, stirred: Stirred): readonly Change[] {
  const changes: Change[] = [];
  for (const id of stirred.ids) {
    if (view.get('service', id)) continue;
    for (const task of view.tasksOfService(id)) {
      if (task.desiredState !== 'remove') changes.push(removal(task));
    }
  }
  return changes;
}

function removal(task: Task): Change {
  return updateObject('task', { ...task, desiredState: 'remove' });
}

/** When a held task may have to be let go, or one that moves has to go; undefined for all others. */
function dueAt(task: Task, now: InstantMs): InstantMs | undefined {
  if (task.move !== undefined) return now;
  if (task.desiredState !== 'ready') return undefined;
  return task.startAfter ?? now;
}

function perNodeServices(view: View): readonly ServiceId[] {
  const perNode = ({ spec }: Service): boolean =>
    ['global', 'global-job'].includes(serviceMode(spec).kind);
  return [...view.list('service')].filter(perNode).map(({ id }) => id);
}

function hasNoUpdate({ updateStatus }: Service): boolean {
  const state = updateStatus?.state;
  return state === undefined || state === 'completed' || state === 'rollback_completed';
}

function isUpdating({ updateStatus }: Service): boolean {
  return updateStatus?.state === 'updating' || updateStatus?.state === 'rollback_started';
}

function earlier(left: InstantMs | undefined, right: InstantMs | undefined): InstantMs | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return left < right ? left : right;
}
