import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Clock,
  type Logger,
  processStartTime,
  sleep,
  writeFileAtomic,
} from '../../pkg/io/index.ts';
import { ClusterError } from '../../pkg/model/index.ts';
import { answers } from './manager-socket.ts';

const CHECK_MS = 200;
const READY_TIMEOUT_MS = 45_000;
const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 5_000;
/** A manager that lived this long did not fail at its start: the back-off begins anew. */
const STABLE_MS = 10_000;

/** `removed`: the group of managers has taken it out. `locked`: its log can be read with the unlock key only. */
export type Obstacle = 'removed' | 'locked';

export interface SupervisorOptions {
  /** The manager's program, started with this Node. */
  readonly program: string;
  readonly args: readonly string[];
  readonly runDir: string;
  readonly logFile: string;
  /** Why the manager must not be started now; asked again at short intervals. */
  readonly obstacle: () => Obstacle | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Keeps this host's manager process running while the host is a manager. The manager outlives the agent: a restarted
 * agent finds it by its pid file and takes it over.
 */
export class ManagerSupervisor {
  readonly #options: SupervisorOptions;
  #abort: AbortController | undefined;
  #running: Promise<void> = Promise.resolve();
  #obstacle: Obstacle | undefined;
  #unlockKey: string | undefined;
  #onRemoved: () => void = () => undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  get socket(): string {
    return join(this.#options.runDir, 'manager.sock');
  }

  get wanted(): boolean {
    return this.#abort !== undefined;
  }

  /** Why it does not run although it is wanted. */
  get obstacle(): Obstacle | undefined {
    return this.wanted ? this.#obstacle : undefined;
  }

  /** `action` is called each time that the manager turns out to have been taken out of the group. */
  whenRemoved(action: () => void): void {
    this.#onRemoved = action;
  }

  /** For the next start only: nothing that runs keeps it, so that a manager which ends is locked again. */
  unlock(key: string): void {
    this.#unlockKey = key;
    this.#obstacle = undefined;
  }

  /** Start it, or take over the one that runs, and start it again whenever it ends. */
  start(): void {
    if (this.#abort) return;
    const abort = new AbortController();
    this.#abort = abort;
    this.#running = this.#supervise(abort.signal);
  }

  /** Resolves when the manager answers, or is found to be locked. @throws ClusterError with the end of its log when it does not come up */
  async ready(): Promise<void> {
    const deadline = this.#options.clock.monotonicMs() + READY_TIMEOUT_MS;
    while (!(await answers(this.socket))) {
      if (this.obstacle === 'locked') return;
      if (this.#options.clock.monotonicMs() > deadline) {
        throw new ClusterError(
          'unavailable',
          `the manager of this host did not start: ${this.#lastWords()}`,
        );
      }
      await sleep(this.#options.clock, CHECK_MS / 4);
    }
  }

  /** Leave it running and stop watching: the agent itself ends. */
  release(): void {
    this.#abort?.abort();
    this.#abort = undefined;
  }

  /** End it for good. */
  async stop(): Promise<void> {
    this.release();
    await this.#running;
    const pid = this.#pid();
    if (pid !== undefined) {
      kill(pid, 'SIGTERM');
      const deadline = this.#options.clock.monotonicMs() + 5_000;
      while (isRunning(pid)) {
        if (this.#options.clock.monotonicMs() > deadline) kill(pid, 'SIGKILL');
        await sleep(this.#options.clock, CHECK_MS / 4);
      }
    }
    rmSync(join(this.#options.runDir, 'manager.pid'), { force: true });
    rmSync(this.socket, { force: true });
  }

  async #supervise(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    let backoff = BACKOFF_FIRST_MS;
    try {
      while (!signal.aborted) {
        while (this.#isHindered()) await sleep(clock, CHECK_MS, signal);
        const pid = this.#pid() ?? this.#spawn();
        const begun = clock.monotonicMs();
        while (isRunning(pid)) await sleep(clock, CHECK_MS, signal);
        const lived = clock.monotonicMs() - begun;
        backoff = lived > STABLE_MS ? BACKOFF_FIRST_MS : Math.min(backoff * 2, BACKOFF_MAX_MS);
        log.warn('manager ended, starting it again', {
          pid,
          lived_ms: Math.round(lived),
          wait_ms: backoff,
        });
        await sleep(clock, backoff, signal);
      }
    } catch (error) {
      if (!signal.aborted) log.error('supervising the manager failed', { error });
    }
  }

  #isHindered(): boolean {
    const obstacle = this.#pid() === undefined ? this.#options.obstacle() : undefined;
    const opened = obstacle === 'locked' && this.#unlockKey !== undefined;
    const before = this.#obstacle;
    this.#obstacle = opened ? undefined : obstacle;
    if (this.#obstacle === 'removed' && before !== 'removed') this.#onRemoved();
    return this.#obstacle !== undefined;
  }

  #spawn(): number {
    const key = this.#unlockKey;
    this.#unlockKey = undefined;
    const { program, args, runDir, logFile } = this.#options;
    mkdirSync(runDir, { recursive: true });
    rmSync(this.socket, { force: true });
    const output = openSync(logFile, 'a', 0o600);
    const child = spawn(process.execPath, [program, ...args], {
      detached: true,
      stdio: [key === undefined ? 'ignore' : 'pipe', output, output],
      cwd: '/',
    });
    closeSync(output);
    child.unref();
    // It may have ended before it read the key; then it is locked again.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(key);
    if (child.pid === undefined) throw new ClusterError('system', `cannot start ${program}`);
    // Reaped here if it ends while this agent lives; a missing listener would turn a failed spawn into a crash.
    child.on('error', (error) => this.#options.log.error('manager failed to start', { error }));
    writeFileAtomic(
      join(runDir, 'manager.pid'),
      `${child.pid} ${processStartTime(child.pid) ?? ''}\n`,
    );
    return child.pid;
  }

  /** The manager that runs, told apart from a stranger with the same pid by its start time. */
  #pid(): number | undefined {
    const file = join(this.#options.runDir, 'manager.pid');
    if (!existsSync(file)) return undefined;
    const [pid, started] = readFileSync(file, 'utf8').trim().split(' ');
    const isTheSame = started !== undefined && processStartTime(Number(pid)) === started;
    return isTheSame ? Number(pid) : undefined;
  }

  #lastWords(): string {
    const { logFile } = this.#options;
    if (!existsSync(logFile)) return `there is no ${logFile}`;
    return `${readFileSync(logFile, 'utf8').trim().split('\n').at(-1)} (${logFile})`;
  }
}

function isRunning(pid: number): boolean {
  return processStartTime(pid) !== undefined;
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has just ended by itself.
  }
}
