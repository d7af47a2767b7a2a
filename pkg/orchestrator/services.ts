import {
  type Change,
  type DeciderInput,
  type InstantMs,
  inSteps,
  isRunnable,
  type Service,
  type ServiceId,
  serviceMode,
  type Task,
  updateObject,
  type View,
} from '../model/index.ts';
import { replaceDrained } from './drain.ts';
import { spreadGlobal } from './global.ts';
import { advanceJob } from './job.ts';
import { scaleReplicated } from './replicated.ts';
import { releaseTasks, restartTasks } from './restart.ts';
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
    const work = yield* Workload.inSteps(view, now, service);
    yield* reconcile(work, input);
    for (const change of work.changes()) {
      changes.push(change);
      if (changes.length % CHANGES_PER_STEP === 0) yield;
    }
    wakeAt = earlier(wakeAt, work.wakeAt);
    yield;
  }
  return { changes, wakeAt };
});

/** Pauses between its parts: a single service may have tens of thousands of tasks. */
function* reconcile(work: Workload, input: DeciderInput): Generator<void, void> {
  const { kind } = serviceMode(work.spec);
  if (kind === 'replicated-job' || kind === 'global-job') {
    advanceJob(work, input.newTaskId);
    return;
  }
  const slots: readonly SlotKey[] =
    kind === 'global'
      ? spreadGlobal(work, input.newTaskId)
      : yield* scaleReplicated(work, input.newTaskId);
  yield;
  advanceUpdate(work, slots, input.newTaskId);
  yield;
  if (kind === 'replicated') replaceDrained(work, slots, input.newTaskId);
  yield;
  restartTasks(work, slots, input.newTaskId);
  yield;
  releaseTasks(work, slots);
}

interface Survey {
  readonly stirred: ReadonlySet<ServiceId>;
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
    if (due <= now) stirred.add(task.serviceId);
    else if (!stirred.has(task.serviceId)) wakeAt = earlier(wakeAt, due);
  }
  return { stirred, orphans: orphans(view, stirred), wakeAt };
}

function* stirredServices({ view, dirty }: DeciderInput): Generator<void, Set<ServiceId>> {
  const stirred = new Set<ServiceId>(dirty.services);
  for (const id of dirty.nodes) {
    yield;
    for (const { serviceId } of view.tasksOfNode(id)) stirred.add(serviceId);
  }
  if (dirty.nodes.size > 0) for (const id of perNodeServices(view)) stirred.add(id);
  let seen = 0;
  for (const id of dirty.tasks) {
    if (++seen % TASKS_PER_STEP === 0) yield;
    const task = view.get('task', id);
    if (task && !stirred.has(task.serviceId) && cameUp(view, task)) stirred.add(task.serviceId);
  }
  // Replacements of what runs on a drained node may have become reachable.
  for (const task of drainedTasks(view)) stirred.add(task.serviceId);
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
function orphans(view: View, stirred: ReadonlySet<ServiceId>): readonly Change[] {
  const changes: Change[] = [];
  for (const id of stirred) {
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

/** When a held task may have to be let go; undefined for all others. */
function dueAt(task: Task, now: InstantMs): InstantMs | undefined {
  if (task.desiredState !== 'ready') return undefined;
  return task.startAfter ?? now;
}

function perNodeServices(view: View): readonly ServiceId[] {
  const perNode = ({ spec }: Service): boolean =>
    ['global', 'global-job'].includes(serviceMode(spec).kind);
  return [...view.list('service')].filter(perNode).map(({ id }) => id);
}

function isUpdating({ updateStatus }: Service): boolean {
  return updateStatus?.state === 'updating' || updateStatus?.state === 'rollback_started';
}

function earlier(left: InstantMs | undefined, right: InstantMs | undefined): InstantMs | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return left < right ? left : right;
}
