import {
  type AppliedChange,
  type Change,
  ClusterError,
  compareTaskState,
  type InstantMs,
  isRunnable,
  isTerminal,
  type Node,
  OBJECT_KINDS,
  type Service,
  type ServiceId,
  Tables,
  type Task,
  type TaskId,
  type TaskState,
  updateObject,
  type Version,
  type View,
} from '../../pkg/model/index.ts';
import { explainPlacement } from '../../pkg/scheduler/index.ts';
import { PlannedLeader } from './planned-leader.ts';

/** How long an agent is supposed to need; images present, processes that obey. */
const PREPARE_MS = 500;
const START_MS = 500;
const STOP_MS = 500;
/** A plan that is longer than this is cut. */
const STEPS_MAX = 20_000;
const HORIZON_MS = 24 * 60 * 60 * 1000;

/** One thing that would happen, milliseconds after the change is accepted. */
interface PlanStep {
  readonly atMs: number;
  readonly action: 'stop' | 'start' | 'state';
  /** Slot and task; absent for `state`, which is about the service. */
  readonly slot?: string | undefined;
  readonly node?: string | undefined;
  readonly text?: string | undefined;
}

/** What a change of a service would do, if every task came up at once and nothing else happened. */
export interface Plan {
  readonly steps: readonly PlanStep[];
  readonly runningBefore: number;
  /** The fewest tasks of the service that run at one time on the way. */
  readonly runningMin: number;
  readonly runningAfter: number;
  readonly durationMs: number;
  /** State of the update when the plan ends; absent: no task had to be replaced. */
  readonly updateState?: string | undefined;
  /** Tasks that would still wait, and why. */
  readonly waiting: readonly { readonly slot: string; readonly placement: object | undefined }[];
  /** The plan was cut: it goes on after the last step. */
  readonly truncated: boolean;
}

/**
 * Try `changes` on a copy of `view`, in virtual time, with the deciders a leader runs. The view is copied before this
 * returns; the work is done in turns of the event loop of its own.
 */
export async function planChange(
  view: View,
  changes: readonly Change[],
  target: { readonly serviceId: ServiceId; readonly now: InstantMs },
): Promise<Plan> {
  const planner = new Planner(copyOf(view, target.now), target.serviceId, target.now);
  planner.begin(changes);
  while (planner.step()) await new Promise<void>((resolve) => setImmediate(resolve));
  return planner.plan();
}

/** Objects are frozen and shared; only the tables are new, and how silence is counted. */
function copyOf(view: View, now: InstantMs): Tables {
  const tables = new Tables();
  for (const kind of OBJECT_KINDS) {
    for (const object of view.list(kind)) tables.restore(kind, object);
  }
  for (const node of view.list('node')) tables.restore('node', silentFrom(node, now));
  tables.advance(view.index);
  return tables;
}

/** The plan's clock is none that a leader counted by. */
function silentFrom(node: Node, now: InstantMs): Node {
  const { status } = node;
  if (!status.silence) return node;
  return { ...node, status: { ...status, silence: { ...status.silence, fromMs: now } } };
}

class Planner {
  readonly #tables: Tables;
  readonly #leader: PlannedLeader;
  readonly #serviceId: ServiceId;
  readonly #startedAt: InstantMs;
  /** When each task that is on its way reports next. */
  readonly #reports = new Map<TaskId, InstantMs>();
  readonly #steps: PlanStep[] = [];
  #now: InstantMs;
  #runningBefore = 0;
  #runningMin = 0;
  #lastAt: InstantMs;
  #truncated = false;

  constructor(tables: Tables, serviceId: ServiceId, now: InstantMs) {
    this.#tables = tables;
    this.#serviceId = serviceId;
    this.#startedAt = now;
    this.#now = now;
    this.#lastAt = now;
    this.#leader = new PlannedLeader(tables);
  }

  begin(changes: readonly Change[]): void {
    for (const task of this.#tables.list('task')) this.#schedule(task);
    this.#runningBefore = this.#running();
    this.#runningMin = this.#runningBefore;
    this.#apply(changes);
  }

  /** One instant: decide until nothing is left to decide, then let the next thing happen. False at the end. */
  step(): boolean {
    this.#decide();
    if (this.#steps.length > STEPS_MAX) this.#truncated = true;
    if (this.#truncated || this.#isSettled()) return false;
    const next = this.#next();
    if (next === undefined) return false;
    if (next > this.#startedAt + HORIZON_MS) {
      this.#truncated = true;
      return false;
    }
    this.#now = next;
    this.#report();
    return true;
  }

  plan(): Plan {
    const waiting = [...this.#tables.tasksOfService(this.#serviceId)].filter(
      (task) => isRunnable(task) && compareTaskState(task.status.state, 'assigned') < 0,
    );
    return {
      steps: this.#steps,
      runningBefore: this.#runningBefore,
      runningMin: this.#runningMin,
      runningAfter: this.#running(),
      durationMs: this.#lastAt - this.#startedAt,
      updateState: this.#service()?.updateStatus?.state,
      waiting: waiting.map((task, at) => ({
        slot: slotOf(task),
        // The others most likely wait for the same reason.
        placement: at === 0 ? explainPlacement(this.#tables, task, this.#now) : undefined,
      })),
      truncated: this.#truncated,
    };
  }

  #decide(): void {
    for (;;) {
      const changes = this.#leader.pass(this.#now);
      if (changes.length === 0) return;
      this.#apply(changes);
    }
  }

  #apply(changes: readonly Change[]): void {
    const refusal = this.#tables.check(changes);
    if (refusal)
      throw new ClusterError('system', `a planned change of ${refusal.kind} does not fit`);
    const index = (this.#tables.index + 1) as Version;
    const applied = this.#tables.apply(changes, index, this.#now);
    this.#leader.changed(applied);
    for (const change of applied) this.#note(change);
    this.#runningMin = Math.min(this.#runningMin, this.#running());
  }

  #note(change: AppliedChange): void {
    if (change.kind === 'service') this.#noteService(change.before, change.after);
    if (change.kind !== 'task') return;
    const { before, after } = change;
    if (after) this.#schedule(after);
    else if (before) this.#reports.delete(before.id);
    if ((after ?? before)?.serviceId === this.#serviceId) this.#noteTask(before, after);
  }

  #noteTask(before: Task | undefined, after: Task | undefined): void {
    const began = after?.status.state === 'running' && before?.status.state !== 'running';
    const gone = before !== undefined && isRunnable(before) && !(after && isRunnable(after));
    if (after && began) this.#say(after, 'start');
    else if (before && gone && before.status.state !== 'complete')
      this.#say(after ?? before, 'stop');
  }

  #say(task: Task, action: 'stop' | 'start'): void {
    // A task that never reached a node has nothing to stop.
    if (task.nodeId === undefined) return;
    const node = this.#tables.get('node', task.nodeId);
    const name = node?.spec.Name || node?.description?.hostname || task.nodeId;
    this.#add({ atMs: 0, action, slot: slotOf(task), node: name });
  }

  #noteService(before: Service | undefined, after: Service | undefined): void {
    const status = after?.updateStatus;
    if (after?.id !== this.#serviceId || !status) return;
    if (status.state === before?.updateStatus?.state) return;
    this.#add({ atMs: 0, action: 'state', text: `${status.state}: ${status.message}` });
  }

  #add(step: PlanStep): void {
    this.#steps.push({ ...step, atMs: this.#now - this.#startedAt });
    this.#lastAt = this.#now;
  }

  #running(): number {
    let running = 0;
    for (const task of this.#tables.tasksOfService(this.#serviceId)) {
      if (task.status.state === 'running' && isRunnable(task)) running += 1;
    }
    return running;
  }

  #service(): Service | undefined {
    return this.#tables.get('service', this.#serviceId);
  }

  /** Nothing of the service is on its way, held, or being updated. */
  #isSettled(): boolean {
    const state = this.#service()?.updateStatus?.state;
    if (state === 'updating' || state === 'rollback_started') return false;
    for (const task of this.#tables.tasksOfService(this.#serviceId)) {
      const held = task.desiredState === 'ready' && isRunnable(task);
      if (held || this.#reports.has(task.id)) return false;
    }
    return true;
  }

  #next(): InstantMs | undefined {
    let next = this.#leader.wakeAt;
    for (const at of this.#reports.values()) if (next === undefined || at < next) next = at;
    return next === undefined || next > this.#now ? next : this.#now;
  }

  #schedule(task: Task): void {
    const wait = delayOf(this.#tables, task);
    if (wait === undefined) this.#reports.delete(task.id);
    else this.#reports.set(task.id, (this.#now + wait) as InstantMs);
  }

  /** Agents report what is due. */
  #report(): void {
    const changes: Change[] = [];
    for (const [id, at] of this.#reports) {
      const task = at <= this.#now ? this.#tables.get('task', id) : undefined;
      const state = task && nextState(task);
      if (!task || !state) continue;
      const status = { ...task.status, state, at: this.#now, message: state, error: undefined };
      changes.push(updateObject('task', { ...task, status }));
    }
    if (changes.length > 0) this.#apply(changes);
  }
}

function slotOf(task: Task): string {
  return `${task.serviceName}.${task.slot}`;
}

/** What an agent with nothing in its way reports next; undefined: the task is where it should be. */
function nextState(task: Task): TaskState | undefined {
  const { state } = task.status;
  if (task.nodeId === undefined || compareTaskState(state, 'assigned') < 0) return undefined;
  if (isTerminal(state)) return undefined;
  if (!isRunnable(task)) return 'shutdown';
  if (compareTaskState(state, 'ready') < 0) return 'ready';
  if (task.desiredState === 'ready') return undefined;
  if (state === 'running') return task.desiredState === 'complete' ? 'complete' : undefined;
  return 'running';
}

/** Agents that are not heard do nothing. */
function delayOf(view: View, task: Task): number | undefined {
  const next = nextState(task);
  const node = task.nodeId === undefined ? undefined : view.get('node', task.nodeId);
  if (next === undefined || node?.status.state !== 'ready') return undefined;
  if (next === 'ready') return PREPARE_MS;
  return next === 'running' ? START_MS : STOP_MS;
}
