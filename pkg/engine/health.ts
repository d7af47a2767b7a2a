/** Health checks as Docker does them: a command in the container, again and again (docs.docker.com, HEALTHCHECK). */
import { type Clock, newHexId, type Random, type Timer } from '../io/index.ts';
import { errorMessage } from '../model/index.ts';
import type { ExecHandle, ExecSpec } from '../runtime/index.ts';
import type { HealthConfig } from './docker-shape.ts';
import { msToNs, timeText } from './time.ts';

export type HealthStatus = 'starting' | 'healthy' | 'unhealthy';

export interface HealthResult {
  readonly Start: string;
  readonly End: string;
  readonly ExitCode: number;
  readonly Output: string;
}

interface HealthPlan {
  readonly args: readonly string[];
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly retries: number;
  readonly startPeriodMs: number;
  readonly startIntervalMs: number;
}

const RESULTS_MAX = 5;
const OUTPUT_MAX_BYTES = 4096;
const MS = 1_000_000;

/** The plan of a health check; undefined when there is none or it is switched off. */
export function healthPlan(config: HealthConfig | null | undefined): HealthPlan | undefined {
  const [kind, ...rest] = config?.Test ?? [];
  if (kind !== 'CMD' && kind !== 'CMD-SHELL') return undefined;
  const args = kind === 'CMD' ? rest : ['/bin/sh', '-c', rest.join(' ')];
  const ms = (ns: number | null | undefined, otherwise: number): number =>
    ns ? ns / MS : otherwise;
  return {
    args,
    intervalMs: ms(config?.Interval, 30_000),
    timeoutMs: ms(config?.Timeout, 30_000),
    retries: config?.Retries || 3,
    startPeriodMs: ms(config?.StartPeriod, 0),
    startIntervalMs: ms(config?.StartInterval, 5_000),
  };
}

export class HealthMonitor {
  status: HealthStatus;
  failingStreak = 0;
  readonly results: HealthResult[] = [];
  readonly #plan: HealthPlan;
  readonly #exec: (spec: ExecSpec) => Promise<ExecHandle>;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #onStatus: (status: HealthStatus) => void;
  readonly #isRunning: () => Promise<boolean>;
  readonly #startedAtMs: number;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: {
    readonly plan: HealthPlan;
    readonly exec: (spec: ExecSpec) => Promise<ExecHandle>;
    readonly clock: Clock;
    readonly random: Random;
    readonly onStatus: (status: HealthStatus) => void;
    /** False when the container has ended or is about to: a check that failed then says nothing about its health. */
    readonly isRunning: () => Promise<boolean>;
    /** What was known before the engine was restarted. */
    readonly status?: HealthStatus | undefined;
  }) {
    this.#plan = options.plan;
    this.#exec = options.exec;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#onStatus = options.onStatus;
    this.#isRunning = options.isRunning;
    this.#startedAtMs = options.clock.monotonicMs();
    this.status = options.status ?? 'starting';
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #inStartPeriod(): boolean {
    return this.#clock.monotonicMs() - this.#startedAtMs < this.#plan.startPeriodMs;
  }

  #schedule(): void {
    if (this.#stopped) return;
    const early = this.status === 'starting' && this.#inStartPeriod();
    const delay = early ? this.#plan.startIntervalMs : this.#plan.intervalMs;
    this.#timer = this.#clock.after(delay, () => {
      void this.#probe().finally(() => this.#schedule());
    });
  }

  async #probe(): Promise<void> {
    const begin = timeText(msToNs(this.#clock.now()));
    const { code, output } = await this.#run();
    if (this.#stopped || (code !== 0 && !(await this.#isRunning()))) return;
    if (this.#stopped) return;
    const End = timeText(msToNs(this.#clock.now()));
    this.results.push({ Start: begin, End, ExitCode: code, Output: output });
    if (this.results.length > RESULTS_MAX) this.results.shift();
    if (code === 0) {
      this.failingStreak = 0;
      this.#become('healthy');
      return;
    }
    if (this.status === 'starting' && this.#inStartPeriod()) return;
    this.failingStreak += 1;
    if (this.failingStreak >= this.#plan.retries) this.#become('unhealthy');
  }

  #become(status: HealthStatus): void {
    if (this.status === status) return;
    this.status = status;
    this.#onStatus(status);
  }

  async #run(): Promise<{ readonly code: number; readonly output: string }> {
    let handle: ExecHandle;
    try {
      const execId = newHexId(this.#random);
      handle = await this.#exec({ execId, args: this.#plan.args });
    } catch (error) {
      return { code: -1, output: errorMessage(error) };
    }
    let output = '';
    const collect = (chunk: Buffer): void => {
      if (output.length < OUTPUT_MAX_BYTES) output += chunk.toString('utf8');
    };
    handle.stdout.on('data', collect);
    handle.stderr.on('data', collect);
    let late = false;
    using _timer = this.#clock.after(this.#plan.timeoutMs, () => {
      late = true;
      handle.kill('SIGKILL').catch(() => undefined); // it may have ended by itself
    });
    try {
      const exit = await handle.wait();
      if (late) {
        return {
          code: -1,
          output: `Health check exceeded timeout (${this.#plan.timeoutMs / 1000}s)`,
        };
      }
      return { code: exit.code, output: output.slice(0, OUTPUT_MAX_BYTES) };
    } catch (error) {
      return { code: -1, output: errorMessage(error) };
    } finally {
      handle.close();
    }
  }
}
