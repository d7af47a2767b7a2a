import type { RegistryAuth } from '../image/index.ts';
import type { ContainerSpec, NetworkId, PortStatus, ResourceSpec } from '../model/index.ts';
import type { LogOptions, LogRecord } from '../runtime/index.ts';

/** The container of one task of the cluster, in the cluster's words. */
export interface TaskContainerSpec {
  readonly taskId: string;
  /** Name of the container: `web.1.<task id>`. */
  readonly taskName: string;
  readonly serviceId: string;
  readonly serviceName: string;
  readonly serviceLabels?: Readonly<Record<string, string>> | undefined;
  /** 0 for global services. */
  readonly slot: number;
  readonly nodeId: string;
  readonly nodeHostname: string;
  readonly container: ContainerSpec;
  readonly limits?: ResourceSpec | undefined;
  readonly reservations?: ResourceSpec | undefined;
  /** Device nodes of the host that it may use, under the same paths. */
  readonly devices?: readonly string[] | undefined;
  /** Kill it when the cluster has not been heard for so long, and do not start it then. */
  readonly fenceMs?: number | undefined;
  readonly logDriver?:
    | { readonly name: string; readonly options: Readonly<Record<string, string>> }
    | undefined;
  /** Cluster volumes that are block devices of the host. */
  readonly blockVolumes?: readonly TaskDevice[] | undefined;
  /** The allocator's choice. The tables of these networks must have been applied before `startTask`. */
  readonly networks: readonly TaskNetwork[];
  /** Ports published with mode=host; 0 takes a free one. */
  readonly hostPorts: readonly TaskHostPort[];
  /** Values by secret id, for every secret that `container.Secrets` names. */
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  readonly configs: ReadonlyMap<string, Uint8Array>;
  /** Ids of secrets and configs in which placeholders are filled in. */
  readonly templated?: ReadonlySet<string> | undefined;
}

export interface TaskDevice {
  readonly path: string;
  /** Inside the container. */
  readonly target: string;
  readonly readOnly: boolean;
}

/** Code of the error. */
export const FENCED = 'ERR_FENCED';

export interface TaskHostPort extends PortStatus {
  /** Open on these addresses, prefixes and links of the host alone. */
  readonly listenOn?: readonly string[] | undefined;
}

export interface TaskNetwork {
  readonly networkId: NetworkId;
  readonly networkName: string;
  /** With prefix length. */
  readonly addresses: readonly string[];
  readonly aliases: readonly string[];
}

export type TaskHealth = 'none' | 'starting' | 'healthy' | 'unhealthy';

/** What this machine knows of a task's container. */
export interface TaskContainer {
  readonly containerId: string;
  readonly taskId: string;
  readonly serviceId: string;
  readonly state: 'created' | 'running' | 'exited';
  /** 0 unless running. */
  readonly pid: number;
  readonly health: TaskHealth;
  /** Present once it has exited. */
  readonly exitCode?: number | undefined;
  /** Why it could not be started, or that memory ran out. */
  readonly error?: string | undefined;
  readonly oomKilled: boolean;
  /** Killed at the end of its lease. */
  readonly fenced?: boolean | undefined;
  readonly hostPorts: readonly PortStatus[];
}

/** Something happened to a task's container; ask `task` for the state it is in now. */
export interface TaskEvent {
  readonly kind: 'started' | 'exited' | 'health' | 'removed';
  readonly taskId: string;
  readonly containerId: string;
}

/**
 * The containers of this machine as the agent's task driver uses them. Ids may be container ids or task ids. Every verb
 * may be repeated. Failures are `ClusterError` with Docker's words, ready for a task's error column.
 */
export interface TaskEngine {
  /**
   * Makes sure the image is here: asks the registry unless the name has a digest that is here already; an image that is
   * here is used when the registry does not have it or cannot be reached.
   * @returns the image id
   * @throws ClusterError `No such image: x` when it is nowhere, `cancelled` on abort
   */
  prepareImage(
    image: string,
    options?: {
      readonly auth?: RegistryAuth | undefined;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<string>;
  /** Makes the container, not yet running; the one of an earlier call for the same task is returned as it is. */
  createTask(spec: TaskContainerSpec): Promise<TaskContainer>;
  /**
   * Wires its networks and lets its program run. Resolves when it runs; does not wait for health.
   * @throws ClusterError `ERR_FENCED` while the task's lease is over: it may be started when that is renewed
   */
  startTask(id: string): Promise<TaskContainer>;
  /**
   * Resolves when the container is healthy, at once when it has no health check.
   * @throws ClusterError `task: non-zero exit (N)` when it ends before, `dockerexec: unhealthy container` when it fails
   */
  waitTaskHealthy(id: string, signal?: AbortSignal): Promise<void>;
  /** Resolves with the final state when the container has exited. Rejects on abort only. */
  waitTask(id: string, signal?: AbortSignal): Promise<TaskContainer>;
  /** Sends the stop signal (the image's or the spec's), and SIGKILL after the grace period of the spec. */
  stopTask(id: string): Promise<void>;
  /** SIGKILL now. */
  killTask(id: string): Promise<void>;
  /** Kills what is left and removes container, writable layer, secrets, anonymous volumes and log. Unknown ids are ignored. */
  removeTask(id: string): Promise<void>;
  /** Undefined when there is none. */
  task(id: string): TaskContainer | undefined;
  /** All task containers of this machine, whatever their state: what the agent finds after a restart. */
  tasks(): readonly TaskContainer[];
  /** Called in order for every change, until the returned function is called. */
  onTaskEvent(listener: (event: TaskEvent) => void): () => void;
  /** Now, as leases count time: milliseconds since the machine began. */
  leaseTimeMs(): number;
  /** The leader knew of this machine at that instant: fenced tasks may go on. */
  renewLease(atMs: number): void;
  /** One record per line. `not-found` when there is no such task here. */
  taskLogs(id: string, options?: LogOptions): AsyncIterable<LogRecord>;
}
