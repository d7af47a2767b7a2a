import {
  FENCED_MESSAGE,
  type InstantMs,
  isTerminal,
  type RestartPolicy,
  restartPolicy,
  type Service,
  serviceMode,
  type Task,
  type TaskId,
  type TaskState,
  type UpdatePolicy,
  updatePolicy,
  type View,
} from '../model/index.ts';
import { mayRestart, wasForced } from './restart.ts';
import { isNodeLost, isRunning, isStopping, newest, runnable } from './slot.ts';
import { type SlotKey, Workload } from './workload.ts';

const HISTORY_MAX = 5;
const SLOTS_MAX = 20;

/** One earlier try of a slot. */
export interface EarlierTask {
  readonly id: TaskId;
  readonly state: TaskState;
  readonly at: InstantMs;
  readonly exitCode?: number | undefined;
  readonly error?: string | undefined;
  /** Why the slot got another task after it. */
  readonly replacedBecause:
    | 'ended'
    | 'told to stop'
    | 'node lost'
    | 'another version'
    | 'moved'
    | 'fenced';
}

/** How a slot came to the task it has, and what happens next. */
export interface SlotExplanation {
  readonly slot: SlotKey;
  readonly task: TaskId;
  /** Newest first. */
  readonly earlier: readonly EarlierTask[];
  readonly policy: RestartPolicy;
  /** Restarts that count against `policy.maxAttempts`. */
  readonly attempts: number;
  /** Failures in a row: each doubles the restart delay. */
  readonly failures: number;
  /** The slot's last task is over and its policy wants no other. */
  readonly gaveUp: boolean;
  /** A held task: when it may start, and what it waits for. */
  readonly startAt?: InstantMs | undefined;
  readonly waitsFor?: string | undefined;
}

/** Undefined when the task's service is gone, or the task is on its way out. */
export function explainSlot(view: View, task: Task, now: InstantMs): SlotExplanation | undefined {
  const service = view.get('service', task.serviceId);
  if (!service) return undefined;
  const work = new Workload(view, now, service);
  return slotExplanation(work, work.slotOf(task), task);
}

function slotExplanation(work: Workload, slot: SlotKey, task: Task): SlotExplanation | undefined {
  const tasks = work.tasks(slot);
  const at = tasks.findIndex(({ id }) => id === task.id);
  if (at < 0) return undefined;
  const spec = work.specOf(task);
  const last = newest(tasks) === task && isTerminal(task.status.state);
  const held = task.desiredState === 'ready' && !isTerminal(task.status.state);
  const stopping = tasks.slice(0, at).filter((other) => isStopping(work, other));
  return {
    slot,
    task: task.id,
    earlier: tasks
      .slice(0, at)
      .toReversed()
      .slice(0, HISTORY_MAX)
      .map((other) => earlierTask(work, other, task)),
    policy: restartPolicy(spec),
    attempts: task.restarts?.length ?? 0,
    failures: task.failures ?? 0,
    gaveUp: last && !mayRestart(work, task),
    startAt: held ? task.startAfter : undefined,
    waitsFor: held ? heldBy(task, stopping) : undefined,
  };
}

function heldBy(task: Task, stopping: readonly Task[]): string | undefined {
  if (stopping.length > 0) return `the end of task ${stopping.map(({ id }) => id).join(', ')}`;
  return task.startAfter === undefined ? undefined : 'its restart delay';
}

function earlierTask(work: Workload, task: Task, next: Task): EarlierTask {
  const { state, at, exitCode, error } = task.status;
  return { id: task.id, state, at, exitCode, error, replacedBecause: cause(work, task, next) };
}

function cause(work: Workload, task: Task, next: Task): EarlierTask['replacedBecause'] {
  if (!wasForced(task)) return 'ended';
  if (task.status.message === FENCED_MESSAGE) return 'fenced';
  if (task.specVersion !== next.specVersion) return 'another version';
  if (task.move) return 'moved';
  return task.status.state === 'orphaned' || isNodeLost(work, task) ? 'node lost' : 'told to stop';
}

/** The state of a service's update or rollback. */
export interface UpdateExplanation {
  readonly state: string;
  readonly message: string;
  readonly policy: UpdatePolicy;
  readonly slotsTotal: number;
  /** Slots that still have a task of another version. */
  readonly slotsLeft: number;
  readonly failures: number;
  /** One failure more than this ends the update as `policy.failureAction` says. */
  readonly failuresAllowed: number;
  /** One line per thing that has to happen before it goes on; empty when nothing is under way. */
  readonly waitsFor: readonly string[];
}

export interface ServiceExplanation {
  readonly slots: number;
  readonly running: number;
  readonly wanted: number | undefined;
  readonly update?: UpdateExplanation | undefined;
  /** Slots without a running task, at most 20. */
  readonly idle: readonly SlotExplanation[];
}

/** What is missing for the service to be as its spec says. */
export function explainWorkload(view: View, service: Service, now: InstantMs): ServiceExplanation {
  const work = new Workload(view, now, service);
  const { slots } = work;
  const idle = slots.filter((slot) => !work.tasks(slot).some(isRunning));
  const mode = serviceMode(service.spec);
  return {
    slots: slots.length,
    running: slots.length - idle.length,
    wanted: mode.kind === 'replicated' ? mode.replicas : undefined,
    update: explainUpdate(work),
    idle: idle.slice(0, SLOTS_MAX).flatMap((slot) => {
      const task = newest(runnable(work.tasks(slot))) ?? newest(work.tasks(slot));
      return (task && slotExplanation(work, slot, task)) ?? [];
    }),
  };
}

function explainUpdate(work: Workload): UpdateExplanation | undefined {
  const status = work.service.updateStatus;
  if (!status) return undefined;
  const { UpdateConfig, RollbackConfig } = work.spec;
  const rollback = status.state.startsWith('rollback');
  const policy = updatePolicy(rollback ? RollbackConfig : UpdateConfig);
  const left = work.slots.filter((slot) => {
    const last = newest(runnable(work.tasks(slot))) ?? newest(work.tasks(slot));
    return last !== undefined && work.isDirty(last);
  });
  return {
    state: status.state,
    message: status.message,
    policy,
    slotsTotal: status.slotsTotal,
    slotsLeft: left.length,
    failures: status.failures,
    failuresAllowed: Math.floor(policy.maxFailureRatio * status.slotsTotal),
    waitsFor: waits(work, policy),
  };
}

function waits(work: Workload, policy: UpdatePolicy): readonly string[] {
  const status = work.service.updateStatus;
  if (!status) return [];
  if (status.state === 'paused' || status.state === 'rollback_paused') {
    return ['somebody: update the service again, or roll it back'];
  }
  if (status.state !== 'updating' && status.state !== 'rollback_started') return [];
  const watched = status.active.map(({ slot, taskId, runningSince }) => {
    if (runningSince === undefined) {
      const task = work.tasks(slot).find(({ id }) => id === taskId);
      const { state, error } = task?.status ?? {};
      return `task ${taskId} of slot ${slot} to run (${state ?? 'gone'}${error ? `: ${error}` : ''})`;
    }
    const seconds = Math.max(0, (runningSince + policy.monitorMs - work.now) / 1000);
    return `slot ${slot} to stand its monitor period (${seconds.toFixed(1)} s left)`;
  });
  const { nextAt } = status;
  if (nextAt === undefined || nextAt <= work.now) {
    return watched.length > 0 ? watched : ['every slot to run in the present version'];
  }
  return [
    ...watched,
    `the delay between slots (${((nextAt - work.now) / 1000).toFixed(1)} s left)`,
  ];
}
