import {
  FENCED,
  type TaskContainer,
  type TaskContainerSpec,
  type TaskEngine,
  type TaskEvent,
  type TaskHealth,
} from '../engine/index.ts';
import { ClusterError } from '../model/index.ts';

type Change = Partial<Omit<TaskContainer, 'taskId'>>;
interface LogLine {
  readonly timeNs: bigint;
  readonly stream: 'stdout' | 'stderr';
  readonly data: Buffer;
  readonly partial: boolean;
}

/** Containers that exist in memory only; tests make them exit or turn healthy. Outlives workers, as real ones do. */
export class FakeEngine implements TaskEngine {
  /** What was asked, in order: `create t1`, `start t1`, `stop t1`… */
  readonly calls: string[] = [];
  /** Every renewal. */
  readonly leases: number[] = [];
  readonly specs = new Map<string, TaskContainerSpec>();
  readonly logs = new Map<string, readonly LogLine[]>();
  readonly #containers = new Map<string, TaskContainer>();
  readonly #listeners = new Set<(event: TaskEvent) => void>();
  /** Images that are nowhere. */
  readonly missingImages = new Set<string>();
  /** While set, pulls do not end. */
  holdPulls = false;
  /** While set, starts wait for it. */
  startsWait: Promise<void> | undefined;
  /** While set, programs do not heed the stop signal; `exit` ends them. */
  holdStops = false;
  /** Health of a container that just started. */
  startHealth: TaskHealth = 'none';
  startError: string | undefined;
  /** While set, the leases of all tasks are over. */
  leaseIsOver = false;

  async prepareImage(
    image: string,
    options: {
      readonly auth?: { readonly username?: string | undefined } | undefined;
      readonly signal?: AbortSignal | undefined;
    } = {},
  ): Promise<string> {
    const { auth } = options;
    this.calls.push(auth ? `pull ${image} as ${auth.username}` : `pull ${image}`);
    if (this.missingImages.has(image))
      throw new ClusterError('not-found', `No such image: ${image}`);
    if (this.holdPulls) {
      await new Promise((_, reject) => {
        const cancelled = new ClusterError('cancelled', 'pull was given up');
        options.signal?.addEventListener('abort', () => reject(cancelled), { once: true });
      });
    }
    return `sha256:${image}`;
  }

  async createTask(spec: TaskContainerSpec): Promise<TaskContainer> {
    this.calls.push(`create ${spec.taskId}`);
    this.specs.set(spec.taskId, spec);
    const known = this.#containers.get(spec.taskId);
    if (known) return known;
    const container: TaskContainer = {
      containerId: `c-${spec.taskId}`,
      taskId: spec.taskId,
      serviceId: spec.serviceId,
      state: 'created',
      pid: 0,
      health: 'none',
      oomKilled: false,
      hostPorts: [],
    };
    this.#containers.set(spec.taskId, container);
    return container;
  }

  async startTask(id: string): Promise<TaskContainer> {
    this.calls.push(`start ${id}`);
    await this.startsWait;
    if (this.leaseIsOver) throw new ClusterError('unavailable', 'not heard', { code: FENCED });
    if (this.startError) throw new ClusterError('system', this.startError);
    return this.change(id, { state: 'running', pid: 42, health: this.startHealth }, 'started');
  }

  async waitTaskHealthy(): Promise<void> {
    throw new ClusterError('not-implemented', 'the worker watches events instead');
  }

  async waitTask(id: string): Promise<TaskContainer> {
    const container = this.#get(id);
    if (container.state === 'exited') return container;
    return await new Promise((resolve) => {
      const stop = this.onTaskEvent(({ taskId }) => {
        const now = this.#containers.get(id);
        if (taskId !== id || now?.state !== 'exited') return;
        stop();
        resolve(now);
      });
    });
  }

  async stopTask(id: string): Promise<void> {
    this.calls.push(`stop ${id}`);
    if (this.#containers.get(id)?.state !== 'running') return;
    if (this.holdStops) await this.waitTask(id);
    else this.exit(id, 143);
  }

  async killTask(id: string): Promise<void> {
    this.exit(id, 137);
  }

  async removeTask(id: string): Promise<void> {
    this.calls.push(`remove ${id}`);
    if (this.#containers.delete(id)) this.#emit('removed', id);
  }

  task(id: string): TaskContainer | undefined {
    return this.#containers.get(id);
  }

  tasks(): readonly TaskContainer[] {
    return [...this.#containers.values()];
  }

  onTaskEvent(listener: (event: TaskEvent) => void): () => void {
    this.#listeners.add(listener);
    return (): void => void this.#listeners.delete(listener);
  }

  leaseTimeMs(): number {
    return performance.now();
  }

  renewLease(atMs: number): void {
    this.leases.push(atMs);
  }

  async *taskLogs(id: string): AsyncGenerator<LogLine> {
    yield* this.logs.get(this.#get(id).taskId) ?? [];
  }

  exit(id: string, exitCode: number): void {
    this.change(id, { state: 'exited', pid: 0, exitCode }, 'exited');
  }

  change(id: string, change: Change, kind: TaskEvent['kind']): TaskContainer {
    const container = { ...this.#get(id), ...change };
    this.#containers.set(id, container);
    this.#emit(kind, id);
    return container;
  }

  #get(id: string): TaskContainer {
    const container = this.#containers.get(id);
    if (!container) throw new ClusterError('not-found', `No such container: ${id}`);
    return container;
  }

  #emit(kind: TaskEvent['kind'], taskId: string): void {
    const event = { kind, taskId, containerId: `c-${taskId}` };
    for (const listener of this.#listeners) listener(event);
  }
}
