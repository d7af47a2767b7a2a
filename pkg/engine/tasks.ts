/** The task driver's view of the engine: containers by task. */
import {
  inspectDistribution,
  parseReference,
  pullImage,
  type RegistryAuth,
} from '../image/index.ts';
import { ClusterError, errorMessage, type PortStatus } from '../model/index.ts';
import type { LogOptions, LogRecord } from '../runtime/index.ts';
import type { Container } from './container.ts';
import { createContainer } from './create.ts';
import type { Host } from './host.ts';
import { bootTimeMs, renewLease } from './lease.ts';
import { readLogs } from './logs.ts';
import type { TaskRecord } from './record.ts';
import { removeContainer } from './remove.ts';
import { writeSecrets } from './secrets.ts';
import type { Supervisor } from './supervisor.ts';
import type { TaskContainer, TaskContainerSpec, TaskEngine, TaskEvent } from './task-engine.ts';
import { stopGraceMs, taskBody, taskFiles } from './task-spec.ts';

const FRESHNESS_TIMEOUT_MS = 5_000;
const KINDS = {
  started: 'started',
  exited: 'exited',
  health: 'health',
  removed: 'removed',
} as const;

export class Tasks implements TaskEngine {
  readonly #host: Host;
  readonly #supervisor: Supervisor;
  readonly #listeners = new Set<(event: TaskEvent) => void>();
  readonly #byTask = new Map<string, Container>();
  /** Creations in progress, so that a repeated call waits for the first. */
  readonly #creating = new Map<string, Promise<Container>>();

  constructor(host: Host, supervisor: Supervisor) {
    this.#host = host;
    this.#supervisor = supervisor;
  }

  /** Call once, after adoption. */
  open(): void {
    for (const container of this.#host.registry.list()) {
      if (container.record.task) this.#follow(container, container.record.task.taskId);
    }
  }

  #follow(container: Container, taskId: string): void {
    this.#byTask.set(taskId, container);
    container.listen((change) => {
      if (change === 'renamed') return;
      if (change === 'removed') this.#byTask.delete(taskId);
      const event = { kind: KINDS[change], taskId, containerId: container.id };
      for (const listener of [...this.#listeners]) listener(event);
    });
  }

  async prepareImage(
    image: string,
    options: {
      readonly auth?: RegistryAuth | undefined;
      readonly signal?: AbortSignal | undefined;
    } = {},
  ): Promise<string> {
    const here = this.#host.images.find(image);
    if (here && (parseReference(image).digest !== undefined || here.repoDigests.length === 0)) {
      return here.id; // fixed, or made on this machine
    }
    const registry = this.#host.options.registry;
    try {
      if (here && (await this.#isCurrent(image, here.repoDigests, options))) return here.id;
      return (await pullImage(this.#host.images, image, { ...options, registry })).id;
    } catch (error) {
      if (options.signal?.aborted) throw error;
      if (here) {
        this.#host.log.warn('image not refreshed', { image, error: errorMessage(error) });
        return here.id;
      }
      throw noImage(image, error);
    }
  }

  /** A name that is here is asked for once, and not for long: a registry that is away must not hold a task back. */
  async #isCurrent(
    image: string,
    digests: readonly string[],
    options: {
      readonly auth?: RegistryAuth | undefined;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<boolean> {
    const timeout = AbortSignal.timeout(FRESHNESS_TIMEOUT_MS);
    const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
    const { auth } = options;
    const registry = this.#host.options.registry;
    const { Descriptor } = await inspectDistribution(image, { auth, registry, signal });
    return digests.some((each) => each.endsWith(`@${Descriptor.digest}`));
  }

  async createTask(spec: TaskContainerSpec): Promise<TaskContainer> {
    const known = this.#byTask.get(spec.taskId);
    if (known) return describe(known);
    const running = this.#creating.get(spec.taskId);
    const creating =
      running ?? this.#create(spec).finally(() => this.#creating.delete(spec.taskId));
    this.#creating.set(spec.taskId, creating);
    return describe(await creating);
  }

  async #create(spec: TaskContainerSpec): Promise<Container> {
    const { files, missing } = taskFiles(spec);
    if (missing.length > 0)
      throw new ClusterError('unavailable', `${missing[0]} is not available on this node`);
    const prepare = async (id: string): Promise<TaskRecord> => ({
      taskId: spec.taskId,
      serviceId: spec.serviceId,
      overlays: spec.networks.flatMap(({ networkId, networkName, addresses, aliases }) => {
        const [address, address6] = addresses;
        return address === undefined
          ? []
          : [{ networkId, networkName, address, address6, aliases }];
      }),
      hostPorts: spec.hostPorts,
      files: await writeSecrets(this.#host, id, files),
      stopGraceMs: stopGraceMs(spec.container),
      fenceMs: spec.fenceMs,
    });
    const { container } = await createContainer(this.#host, {
      name: spec.taskName,
      body: taskBody(spec),
      prepare,
    });
    this.#follow(container, spec.taskId);
    return container;
  }

  async startTask(id: string): Promise<TaskContainer> {
    const container = this.#get(id);
    await this.#supervisor.start(container).catch((error: unknown) => {
      if (!(error instanceof ClusterError) || error.kind !== 'not-modified') throw error;
    });
    return describe(container);
  }

  async waitTaskHealthy(id: string, signal?: AbortSignal): Promise<void> {
    const container = this.#get(id);
    for (;;) {
      const now = describe(container);
      if (now.state === 'exited') throw exitError(now);
      if (now.health === 'none' || now.health === 'healthy') return;
      if (now.health === 'unhealthy') {
        throw new ClusterError('system', 'dockerexec: unhealthy container');
      }
      const change = await container.next(() => true, signal);
      if (change === 'removed') throw new ClusterError('not-found', `No such container: ${id}`);
    }
  }

  async waitTask(id: string, signal?: AbortSignal): Promise<TaskContainer> {
    const container = this.#get(id);
    if (container.state.status !== 'exited') {
      await container.next((change) => change === 'exited' || change === 'removed', signal);
    }
    return describe(container);
  }

  async stopTask(id: string): Promise<void> {
    const container = this.#find(id);
    const task = container?.record.task;
    if (!container || !task) return;
    await this.#supervisor
      .stop(container, { timeoutMs: task.stopGraceMs })
      .catch((error: unknown) => {
        if (!(error instanceof ClusterError) || error.kind !== 'not-modified') throw error;
      });
  }

  async killTask(id: string): Promise<void> {
    const container = this.#find(id);
    if (!container) return;
    await this.#supervisor.terminate(container, { signal: 'SIGKILL', timeoutMs: 0 });
  }

  async removeTask(id: string): Promise<void> {
    const container = this.#find(id);
    if (!container) return;
    await removeContainer(this.#host, this.#supervisor, container, { force: true, volumes: true });
  }

  task(id: string): TaskContainer | undefined {
    const container = this.#find(id);
    return container && describe(container);
  }

  tasks(): readonly TaskContainer[] {
    return [...this.#byTask.values()].map(describe);
  }

  onTaskEvent(listener: (event: TaskEvent) => void): () => void {
    this.#listeners.add(listener);
    return (): void => {
      this.#listeners.delete(listener);
    };
  }

  leaseTimeMs(): number {
    return bootTimeMs();
  }

  /** Where it cannot be written, fenced tasks end as if the node had not been heard, and the rest goes on. */
  renewLease(atMs: number): void {
    try {
      renewLease(this.#host.options.runDir, atMs);
    } catch (error) {
      this.#host.log.error('lease not renewed', { error: errorMessage(error) });
    }
  }

  taskLogs(id: string, options: LogOptions = {}): AsyncIterable<LogRecord> {
    return readLogs(this.#host, this.#get(id), options);
  }

  #find(id: string): Container | undefined {
    const byTask = this.#byTask.get(id);
    if (byTask) return byTask;
    return [...this.#byTask.values()].find((container) => container.id === id);
  }

  #get(id: string): Container {
    const container = this.#find(id);
    if (container) return container;
    throw new ClusterError('not-found', `No such container: ${id}`);
  }
}

function noImage(image: string, cause: unknown): ClusterError {
  if (cause instanceof ClusterError && cause.kind === 'invalid') return cause;
  const name = /[:@]/.test(image.slice(image.lastIndexOf('/') + 1)) ? image : `${image}:latest`;
  return new ClusterError('not-found', `No such image: ${name}`, { cause });
}

function exitError(task: TaskContainer): ClusterError {
  const why = task.error ? `: ${task.error}` : '';
  return new ClusterError('system', `task: non-zero exit (${task.exitCode})${why}`);
}

function describe(container: Container): TaskContainer {
  const { state, task } = container.record;
  const status = state.status === 'removing' ? 'exited' : state.status;
  const failed = status === 'created' && state.error !== '';
  return {
    containerId: container.id,
    taskId: task?.taskId ?? '',
    serviceId: task?.serviceId ?? '',
    state: failed ? 'exited' : status,
    pid: container.pid,
    health: container.health?.status ?? (container.running ? 'none' : (state.health ?? 'none')),
    exitCode: status === 'exited' || failed ? state.exitCode : undefined,
    error: state.error || undefined,
    oomKilled: state.oomKilled,
    fenced: state.fenced,
    hostPorts: portsOf(container),
  };
}

/** What is really open, once it runs; what was asked for before. */
function portsOf(container: Container): readonly PortStatus[] {
  const open = container.sandbox?.hostPorts;
  if (!open) return container.record.task?.hostPorts ?? [];
  return open.map(({ protocol, targetPort, publishedPort }) => ({
    protocol,
    targetPort,
    publishedPort,
  }));
}
