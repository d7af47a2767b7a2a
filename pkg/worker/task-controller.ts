import { FENCED, type TaskContainer, type TaskEngine } from '../engine/index.ts';
import type { Clock, Logger } from '../io/index.ts';
import {
  ClusterError,
  compareTaskState,
  type DesiredState,
  errorMessage,
  type TaskStatus,
  unreachable,
  type VolumeId,
} from '../model/index.ts';
import type { TaskAssignment } from '../rpc/index.ts';
import { mayRestartHere, NO_RESTARTS, oneMore, ownRestartDelayMs } from './alone.ts';
import { nextStep, type Step } from './next-step.ts';
import { dependenciesOf, type TaskSurroundings, taskContainerSpec } from './task-spec.ts';

export interface TaskControllerOptions {
  readonly engine: TaskEngine;
  readonly clock: Clock;
  readonly log: Logger;
  readonly surroundings: () => TaskSurroundings;
  /** Monotonic milliseconds from which on this host looks after its tasks by itself; undefined while a manager does. */
  readonly aloneFrom: () => number | undefined;
  /** The task's status changed. */
  readonly onStatus: (status: TaskStatus) => void;
}

const RETRY_MS = 1_000;

/**
 * Drives one task: looks at what there is, takes the next step, and again. The loop ends with the task's removal; it
 * waits whenever there is nothing to do.
 */
export class TaskController {
  readonly #options: TaskControllerOptions;
  #assignment: TaskAssignment;
  #status: TaskStatus;
  #failure: string | undefined;
  #ownRestarts = NO_RESTARTS;
  #startedAtMs: number;
  /** When it was seen that the task has ended with nobody to replace it. */
  #endedAtMs: number | undefined;
  #removed = false;
  #ended = false;
  #abort = new AbortController();
  #changed = false;
  #starting: Promise<void> | undefined;
  /** Its container is just being made. */
  #making = false;
  #wake: () => void = () => undefined;
  readonly #over: Promise<void>;

  /** `status`: where the task had come to, from this machine's records or the manager's. */
  constructor(assignment: TaskAssignment, status: TaskStatus, options: TaskControllerOptions) {
    this.#assignment = assignment;
    this.#status = status;
    this.#options = options;
    this.#startedAtMs = options.clock.monotonicMs();
    this.#over = this.#run();
  }

  get assignment(): TaskAssignment {
    return this.#assignment;
  }

  get status(): TaskStatus {
    return this.#status;
  }

  /** Whether a container of it holds volumes of this host: from when it is being made until it has ended. */
  holdsVolume(id: VolumeId): boolean {
    const { volumes = [] } = this.#assignment.task;
    if (!volumes.some(({ volumeId }) => volumeId === id)) return false;
    const container = this.#container();
    return this.#making || (container !== undefined && container.state !== 'exited');
  }

  /** Ends with a start that is under way although the task is to stop; undefined: there is none. */
  get unwantedStart(): Promise<void> | undefined {
    const unwanted = this.#removed || isStop(this.#assignment.task.desiredState);
    return unwanted ? this.#starting : undefined;
  }

  /**
   * A newer assignment: what is going on is given up if it is not wanted any more. A stop is never taken back: a new
   * leader may hold one back that the last leader had let through.
   */
  update(assignment: TaskAssignment): void {
    const before = this.#assignment.task.desiredState;
    const { task } = assignment;
    const desiredState = isStop(before) && !isStop(task.desiredState) ? before : task.desiredState;
    this.#assignment = { ...assignment, task: { ...task, desiredState } };
    if (desiredState !== before) this.#interrupt();
    this.look();
  }

  /** Look again: the container changed, or something the task needs came. */
  look(): void {
    this.#changed = true;
    this.#wake();
  }

  /** Stops the container with its grace period and removes it. Resolves when nothing of it is left. */
  async remove(): Promise<void> {
    this.#removed = true;
    this.#interrupt();
    this.look();
    await this.#over;
  }

  /** Ends the loop and leaves the container as it is: the agent restarts. */
  leave(): void {
    this.#ended = true;
    this.#interrupt();
    this.look();
  }

  #interrupt(): void {
    this.#abort.abort();
    this.#abort = new AbortController();
  }

  async #run(): Promise<void> {
    while (!this.#ended && !this.#removed) {
      this.#changed = false;
      const step = nextStep(this.#assignment.task.desiredState, this.#observe());
      if (step.kind !== 'restart') this.#endedAtMs = undefined;
      await this.#take(step);
    }
    if (this.#removed) await this.#discard();
  }

  #container(): TaskContainer | undefined {
    return this.#options.engine.task(this.#assignment.task.id);
  }

  #observe(): Parameters<typeof nextStep>[1] {
    const { spec } = this.#assignment;
    const hasNeeds = this.#hasNeeds();
    const container = this.#container();
    const alone = hasNeeds && this.#options.aloneFrom() !== undefined;
    const exitCode = container?.state === 'exited' ? container.exitCode : undefined;
    return {
      state: this.#status.state,
      container,
      hasNeeds,
      failure: this.#failure,
      mayRestartHere: alone && mayRestartHere(spec, exitCode, this.#ownRestarts),
    };
  }

  #hasNeeds(): boolean {
    const { tables, secrets, configs, volume } = this.#options.surroundings();
    const { task, spec } = this.#assignment;
    const needs = dependenciesOf(spec);
    return (
      task.networks.every(({ networkId }) => tables.has(networkId)) &&
      needs.secrets.every((id) => secrets.has(id)) &&
      needs.configs.every((id) => configs.has(id)) &&
      (task.volumes ?? []).every(({ volumeId }) => volume(volumeId) !== undefined)
    );
  }

  async #take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'report':
        this.#report(step);
        break;
      case 'create':
        await this.#attempt('rejected', (signal) => this.#create(signal));
        break;
      case 'start':
        await this.#attempt('failed', () => this.#start());
        break;
      case 'stop':
        await this.#stop();
        break;
      case 'fail':
        this.#failure = step.error;
        break;
      case 'restart':
        await this.#restartWhenDue();
        break;
      case 'wait':
        await this.#waitForChange();
        break;
      default:
        unreachable(step);
    }
  }

  async #create(signal: AbortSignal): Promise<void> {
    const { engine, surroundings } = this.#options;
    const spec = taskContainerSpec(this.#assignment, surroundings());
    const auth = this.#assignment.registryAuth;
    await engine.prepareImage(spec.container.Image, { auth, signal });
    // A volume may have left meanwhile.
    if (signal.aborted || !this.#hasNeeds()) return;
    this.#making = true;
    try {
      await engine.createTask(spec);
    } finally {
      this.#making = false;
    }
  }

  async #start(): Promise<TaskContainer> {
    const start = this.#options.engine.startTask(this.#assignment.task.id);
    this.#starting = start.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await start;
    } finally {
      this.#starting = undefined;
    }
  }

  /** Or until something changes: a manager that comes decides instead. */
  async #restartWhenDue(): Promise<void> {
    const { clock, aloneFrom } = this.#options;
    const { spec } = this.#assignment;
    const now = clock.monotonicMs();
    this.#endedAtMs ??= now;
    const due = Math.max(
      aloneFrom() ?? Number.POSITIVE_INFINITY,
      this.#endedAtMs + ownRestartDelayMs(spec, this.#ownRestarts),
    );
    if (now >= due) {
      this.#ownRestarts = oneMore(spec, this.#ownRestarts, this.#endedAtMs - this.#startedAtMs);
      this.#endedAtMs = undefined;
      await this.#attempt('failed', () => this.#restart());
      return;
    }
    using _timer = clock.after(due - now, () => this.look());
    await this.#waitForChange();
  }

  async #restart(): Promise<void> {
    const { clock, log, onStatus } = this.#options;
    const { id } = this.#assignment.task;
    if (this.#container()?.state === 'running') await this.#stop();
    const { pid } = await this.#start();
    this.#startedAtMs = clock.monotonicMs();
    const times = this.#ownRestarts.total === 1 ? '' : ` ${this.#ownRestarts.total} times`;
    const message = `started again${times} while no manager was in reach`;
    log.warn('task restarted without managers', { task: id, restarts: this.#ownRestarts.total });
    this.#status = { ...this.#status, message, pid: pid || undefined };
    onStatus(this.#status);
  }

  /** A step that may fail: its error ends the task, unless the step was given up. */
  async #attempt(
    state: 'rejected' | 'failed',
    work: (signal: AbortSignal) => Promise<unknown>,
  ): Promise<void> {
    const { signal } = this.#abort;
    try {
      await work(signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ClusterError && error.code === FENCED) {
        await this.#waitForLease();
        return;
      }
      const message = state === 'rejected' ? 'preparing' : 'starting';
      this.#report({ kind: 'report', state, message, error: errorMessage(error) });
    }
  }

  /** Starting is refused until a leader has said everything to this host. */
  async #waitForLease(): Promise<void> {
    using _timer = this.#options.clock.after(RETRY_MS, () => this.look());
    await this.#waitForChange();
  }

  async #stop(): Promise<void> {
    const { engine, clock, log } = this.#options;
    const { id } = this.#assignment.task;
    try {
      await engine.stopTask(id);
      await engine.waitTask(id);
    } catch (error) {
      if (this.#container()?.state !== 'running') return;
      log.warn('task does not stop', { task: id, error: errorMessage(error) });
      await new Promise<void>((resolve) => clock.after(RETRY_MS, resolve));
    }
  }

  async #discard(): Promise<void> {
    const { engine, clock, log } = this.#options;
    const { id } = this.#assignment.task;
    while (!this.#ended) {
      try {
        if (this.#container()?.state === 'running') await engine.stopTask(id);
        await engine.removeTask(id);
        return;
      } catch (error) {
        log.warn('task is not removed yet', { task: id, error: errorMessage(error) });
        await new Promise<void>((resolve) => clock.after(RETRY_MS, resolve));
      }
    }
  }

  #report({ state, message, error }: Extract<Step, { kind: 'report' }>): void {
    if (compareTaskState(state, this.#status.state) <= 0) return;
    const container = this.#container();
    this.#status = {
      state,
      at: this.#options.clock.now(),
      message,
      error,
      containerId: container?.containerId ?? this.#status.containerId,
      pid: container?.pid || undefined,
      exitCode: container?.state === 'exited' ? container.exitCode : undefined,
      hostPorts: container?.hostPorts.length ? container.hostPorts : undefined,
    };
    this.#options.onStatus(this.#status);
  }

  async #waitForChange(): Promise<void> {
    if (this.#changed) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }
}

function isStop(desired: DesiredState): boolean {
  return desired === 'shutdown' || desired === 'remove';
}
