import {
  type Change,
  type DeciderInput,
  type Decision,
  type InstantMs,
  isTerminal,
  type Service,
  type ServiceId,
  serviceMode,
  type Task,
  updateObject,
  type View,
} from '../model/index.ts';
import { spreadGlobal } from './global.ts';
import { advanceJob } from './job.ts';
import { scaleReplicated } from './replicated.ts';
import { releaseTasks, restartTasks } from './restart.ts';
import { advanceUpdate } from './update.ts';
import { type SlotKey, Workload } from './workload.ts';

/**
 * Which tasks should exist: every service that changed, whose tasks or nodes changed, or that has something due, is
 * brought one step closer to its spec. Tasks of services that are gone are told to go.
 */
export function decideServices(input: DeciderInput): Decision {
  const { view, now } = input;
  const survey = surveyTasks(input);
  const changes: Change[] = [...survey.orphans];
  let wakeAt = survey.wakeAt;
  for (const service of view.list('service')) {
    if (!survey.stirred.has(service.id) && !isUpdating(service)) continue;
    const work = new Workload(view, now, service);
    reconcile(work, input);
    changes.push(...work.changes());
    wakeAt = earlier(wakeAt, work.wakeAt);
  }
  return { changes, wakeAt };
}

function reconcile(work: Workload, input: DeciderInput): void {
  const { kind } = serviceMode(work.spec);
  if (kind === 'replicated-job' || kind === 'global-job') {
    advanceJob(work, input.newTaskId);
    return;
  }
  const slots: readonly SlotKey[] =
    kind === 'global'
      ? spreadGlobal(work, input.newTaskId)
      : scaleReplicated(work, input.newTaskId);
  advanceUpdate(work, slots, input.newTaskId);
  restartTasks(work, slots, input.newTaskId);
  releaseTasks(work, slots);
}

interface Survey {
  readonly stirred: ReadonlySet<ServiceId>;
  readonly orphans: readonly Change[];
  readonly wakeAt: InstantMs | undefined;
}

/** One walk over all tasks: whose service is gone, whose waiting time is over, what changed. */
function surveyTasks(input: DeciderInput): Survey {
  const { view, dirty, now } = input;
  const stirred = new Set<ServiceId>(dirty.services);
  const orphans: Change[] = [];
  let wakeAt: InstantMs | undefined;
  for (const task of view.list('task')) {
    if (!view.get('service', task.serviceId)) {
      if (task.desiredState !== 'remove') orphans.push(removal(task));
      continue;
    }
    const due = dueAt(task, now);
    const changed = dirty.tasks.has(task.id) || touchedByNode(task, dirty.nodes);
    if (changed || (due !== undefined && due <= now)) stirred.add(task.serviceId);
    else wakeAt = earlier(wakeAt, due);
  }
  if (dirty.nodes.size > 0) for (const id of perNodeServices(view)) stirred.add(id);
  return { stirred, orphans, wakeAt };
}

function removal(task: Task): Change {
  return updateObject('task', { ...task, desiredState: 'remove' });
}

/** When a held task may have to be let go; undefined for all others. */
function dueAt(task: Task, now: InstantMs): InstantMs | undefined {
  if (task.desiredState !== 'ready' || isTerminal(task.status.state)) return undefined;
  return task.startAfter ?? now;
}

function perNodeServices(view: View): readonly ServiceId[] {
  const perNode = ({ spec }: Service): boolean =>
    ['global', 'global-job'].includes(serviceMode(spec).kind);
  return [...view.list('service')].filter(perNode).map(({ id }) => id);
}

function touchedByNode(task: Task, nodes: DeciderInput['dirty']['nodes']): boolean {
  return nodes.size > 0 && task.nodeId !== undefined && nodes.has(task.nodeId);
}

function isUpdating({ updateStatus }: Service): boolean {
  return updateStatus?.state === 'updating' || updateStatus?.state === 'rollback_started';
}

function earlier(left: InstantMs | undefined, right: InstantMs | undefined): InstantMs | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return left < right ? left : right;
}
