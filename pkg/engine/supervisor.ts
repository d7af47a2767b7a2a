/**
 * Start, stop and everything that follows from an exit. State changes are on disk before anybody hears of them, but on a
 * disk that takes nothing: then they are told all the same.
 */
import { newHexId } from '../io/index.ts';
import { ClusterError, errorMessage } from '../model/index.ts';
import type { ExecHandle, ExitStatus } from '../runtime/index.ts';
import type { Container } from './container.ts';
import { HealthMonitor, type HealthStatus, healthPlan } from './health.ts';
import type { Host } from './host.ts';
import { launch } from './launcher.ts';
import { restartDelay } from './restart-policy.ts';
import { removeSecrets } from './secrets.ts';
import { FENCED } from './task-engine.ts';
import { msToNs, timeText } from './time.ts';

const STOP_TIMEOUT_MS = 10_000;
/** After SIGKILL the kernel needs this long at the very most. */
const KILL_PATIENCE_MS = 10_000;
const NEVER_MS = 2 ** 31 - 1;

export interface StopRequest {
  /** Absent: the container's own; negative: no limit. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: string | undefined;
}

export class Supervisor {
  readonly #host: Host;
  /** The engine has let go: what happens now is for the next one. */
  #closed = false;
  /** Attach requests of containers that do not run yet. */
  readonly #beforeStart = new Map<string, Set<() => Promise<void>>>();
  /** Removes a container completely; given by the engine to break the circle. */
  readonly #autoRemove: (container: Container) => Promise<void>;

  constructor(host: Host, autoRemove: (container: Container) => Promise<void>) {
    this.#host = host;
    this.#autoRemove = autoRemove;
  }

  /** Runs `action` in the next start, between create and the first instruction. @returns how to forget it */
  beforeNextStart(container: Container, action: () => Promise<void>): () => void {
    const actions = this.#beforeStart.get(container.id) ?? new Set();
    this.#beforeStart.set(container.id, actions.add(action));
    return (): void => {
      actions.delete(action);
    };
  }

  /** Stops following all containers, which run on. */
  close(): void {
    this.#closed = true;
    for (const container of this.#host.registry.list()) {
      container.health?.stop();
      container.restart?.cancel();
    }
  }

  /** @throws ClusterError `not-modified` when it runs already */
  start(container: Container): Promise<void> {
    return container.exclusive(async () => {
      if (container.running) throw new ClusterError('not-modified', 'container already started');
      if (container.state.status === 'removing') {
        throw new ClusterError('conflict', 'container is marked for removal and cannot be started');
      }
      container.restart?.cancel();
      container.restart = undefined;
      container.restartDelayMs = 0;
      container.setState({ restartCount: 0, stoppedByUser: false });
      await this.#launch(container);
    });
  }

  async #launch(container: Container): Promise<void> {
    const { log, records, clock, events } = this.#host;
    const actions = [...(this.#beforeStart.get(container.id) ?? [])];
    this.#beforeStart.delete(container.id);
    try {
      const launched = await launch(this.#host, container, async () => {
        for (const action of actions) await action();
      });
      container.pid = launched.pid;
      container.sandbox = launched.sandbox;
    } catch (error) {
      // Nothing was tried: it stays what it is until its lease is renewed.
      if (error instanceof ClusterError && error.code === FENCED) throw error;
      const exitCode = failureCode(error);
      container.setState({
        status: container.state.status === 'created' ? 'created' : 'exited',
        exitCode,
        error: errorMessage(error),
      });
      await records.keep(container);
      log.warn('container cannot start', { container: container.id, error: errorMessage(error) });
      if (container.record.hostConfig.AutoRemove) this.#removeLater(container);
      throw error;
    }
    container.startedAtMs = clock.monotonicMs();
    container.setState({
      status: 'running',
      startedAt: timeText(msToNs(clock.now())),
      exitCode: 0,
      error: '',
      oomKilled: false,
      fenced: undefined,
    });
    await records.keep(container);
    this.watch(container);
    container.tell('started');
    events.emit('container', 'start', { id: container.id, attributes: container.attributes() });
  }

  /** Follows a running container: its health, and its exit. Also for containers found after a restart. */
  watch(container: Container, health?: HealthStatus): void {
    const { runtime, log } = this.#host;
    this.#watchHealth(container, health);
    runtime
      .wait(container.id)
      .then(
        (exit) => this.exited(container, exit),
        (error) => {
          log.error('container is lost', { container: container.id, error: errorMessage(error) });
          const finishedAtNs = msToNs(this.#host.clock.now());
          return this.exited(container, { code: 137, oomKilled: false, finishedAtNs });
        },
      )
      .catch((error: unknown) => {
        log.error('exit cannot be recorded', {
          container: container.id,
          error: errorMessage(error),
        });
      });
  }

  #watchHealth(container: Container, status: HealthStatus | undefined): void {
    const plan = healthPlan(container.record.config.Healthcheck);
    if (!plan) return;
    const { clock, random, runtime, events, records } = this.#host;
    container.health = new HealthMonitor({
      plan,
      clock,
      random,
      status,
      exec: (spec): Promise<ExecHandle> => runtime.exec(container.id, spec),
      isRunning: (): Promise<boolean> => this.#isRunning(container),
      onStatus: (now): void => {
        container.setState({ health: now });
        void records.keep(container).then(() => container.tell('health'));
        const attributes = container.attributes();
        events.emit('container', `health_status: ${now}`, { id: container.id, attributes });
      },
    });
  }

  async #isRunning(container: Container): Promise<boolean> {
    const state = await this.#host.runtime.state(container.id).catch(() => undefined);
    return state !== undefined && state.exit === undefined && !state.ending;
  }

  /** Records an exit, frees what the run held and decides about a restart. */
  exited(container: Container, exit: ExitStatus): Promise<void> {
    return container.exclusive(async () => {
      if (!container.running || this.#closed) return;
      const { runtime, network, records, events, log, clock } = this.#host;
      container.health?.stop();
      await network?.detach(container.id).catch((error: unknown) => {
        log.error('network cannot be detached', {
          container: container.id,
          error: errorMessage(error),
        });
      });
      this.#host.cluster?.release(container.id);
      await runtime.delete(container.id, { force: true }).catch((error: unknown) => {
        log.error('container cannot be removed', {
          container: container.id,
          error: errorMessage(error),
        });
      });
      container.health = undefined;
      container.pid = 0;
      container.paused = false;
      container.sandbox = undefined;
      container.execIds.clear();
      container.setState({
        status: 'exited',
        finishedAt: timeText(exit.finishedAtNs),
        exitCode: exit.code,
        error: exit.error ?? '',
        oomKilled: exit.oomKilled,
        fenced: exit.fenced || undefined,
        health: undefined,
      });
      await records.keep(container);
      // A task is never started again, and its secrets must not outlive it.
      if (container.record.task) await removeSecrets(this.#host, container.id);
      const attributes = container.attributes({ exitCode: String(exit.code) });
      if (exit.oomKilled)
        events.emit('container', 'oom', { id: container.id, attributes: container.attributes() });
      events.emit('container', 'die', { id: container.id, attributes });
      this.#scheduleRestart(container, clock.monotonicMs() - container.startedAtMs);
      container.tell('exited');
      if (container.record.hostConfig.AutoRemove && !container.restart && !container.restarting) {
        this.#removeLater(container);
      }
    });
  }

  /** Not awaited: removal takes its turn after what goes on now. */
  #removeLater(container: Container): void {
    this.#autoRemove(container).catch((error: unknown) => {
      this.#host.log.error('container cannot be removed', {
        container: container.id,
        error: errorMessage(error),
      });
    });
  }

  #scheduleRestart(container: Container, ranMs: number): void {
    const { exitCode, restartCount, stoppedByUser } = container.state;
    const delay = container.restarting
      ? undefined
      : restartDelay(container.record.hostConfig.RestartPolicy, {
          exitCode,
          restartCount,
          stoppedByUser,
          ranMs,
          delayMs: container.restartDelayMs,
        });
    if (delay === undefined) return;
    container.restartDelayMs = delay;
    container.restart = this.#host.clock.after(delay, () => {
      void container
        .exclusive(async () => {
          if (!container.restart || container.running) return;
          container.restart = undefined;
          container.setState({ restartCount: container.state.restartCount + 1 });
          await this.#launch(container);
        })
        .catch(() => this.#scheduleRestart(container, 0));
    });
  }

  /** Sends a signal. @throws ClusterError `conflict` when it does not run */
  async kill(container: Container, signal: string): Promise<void> {
    if (!container.running) {
      throw new ClusterError(
        'conflict',
        `cannot kill container: ${container.name}: container ${container.id} is not running`,
      );
    }
    await this.#host.runtime.kill(container.id, signal);
    const attributes = container.attributes({ signal });
    this.#host.events.emit('container', 'kill', { id: container.id, attributes });
  }

  /**
   * Stops it: the stop signal, then SIGKILL when the time is up. Resolves when the exit is recorded.
   * @throws ClusterError `not-modified` when it is stopped already
   */
  async stop(container: Container, request: StopRequest = {}): Promise<void> {
    const restarting = container.restart;
    restarting?.cancel();
    container.restart = undefined;
    container.setState({ stoppedByUser: true });
    if (!container.running) {
      await this.#host.records.keep(container);
      if (restarting) return;
      throw new ClusterError('not-modified', 'container already stopped');
    }
    const { config } = container.record;
    const own =
      config.StopTimeout === undefined || config.StopTimeout === null
        ? STOP_TIMEOUT_MS
        : config.StopTimeout * 1000;
    const timeout = request.timeoutMs ?? own;
    await this.terminate(container, {
      signal: request.signal || config.StopSignal || 'SIGTERM',
      timeoutMs: timeout < 0 ? NEVER_MS : timeout,
    });
    const attributes = container.attributes();
    this.#host.events.emit('container', 'stop', { id: container.id, attributes });
  }

  /** Signal, wait, SIGKILL, wait. */
  async terminate(
    container: Container,
    { signal, timeoutMs }: { readonly signal: string; readonly timeoutMs: number },
  ): Promise<void> {
    if (!container.running) return;
    const { runtime, clock } = this.#host;
    const state = await runtime.state(container.id).catch(() => undefined);
    const exited = container.next((change) => change === 'exited' || change === 'removed');
    const send = (name: string): Promise<void> =>
      runtime.kill(container.id, name).catch((error: unknown) => {
        // A race with its exit is what we want anyway.
        this.#host.log.debug('signal not delivered', {
          container: container.id,
          error: errorMessage(error),
        });
      });
    await send(signal);
    if (state?.status === 'paused') await runtime.resume(container.id).catch(() => undefined);
    using _kill = clock.after(Math.min(timeoutMs, NEVER_MS), () => void send('SIGKILL'));
    using _force = clock.after(Math.min(timeoutMs + KILL_PATIENCE_MS, NEVER_MS), () => {
      void runtime.delete(container.id, { force: true }).catch(() => undefined);
    });
    if (container.running) await exited;
  }

  /** Stop and start as one: no policy, no automatic removal in between. */
  async restart(container: Container, request: StopRequest = {}): Promise<void> {
    container.restarting = true;
    try {
      await this.stop(container, request).catch((error: unknown) => {
        if (!(error instanceof ClusterError) || error.kind !== 'not-modified') throw error;
      });
      await this.start(container);
    } finally {
      container.restarting = false;
    }
    const attributes = container.attributes();
    this.#host.events.emit('container', 'restart', { id: container.id, attributes });
  }

  newExecId(): string {
    return newHexId(this.#host.random);
  }
}

/** Docker's exit codes for a program that cannot be executed. */
function failureCode(error: unknown): number {
  const code = error instanceof ClusterError ? error.code : '';
  if (code === 'ERR_EXEC_NOT_FOUND') return 127;
  return code === 'ERR_EXEC_DENIED' ? 126 : 128;
}
