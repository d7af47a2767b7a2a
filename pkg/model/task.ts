import type { GenericResource } from './generic-resource.ts';
import type { InstantMs, NetworkId, NodeId, ServiceId, TaskId, Version, VolumeId } from './id.ts';

/** Order is meaning: a task only moves right (SwarmKit api/types.proto TaskState, a Lamport clock). */
export const TASK_STATES = [
  'new',
  'pending',
  'assigned',
  'accepted',
  'preparing',
  'ready',
  'starting',
  'running',
  'complete',
  'shutdown',
  'failed',
  'rejected',
  'remove',
  'orphaned',
] as const;
export type TaskState = (typeof TASK_STATES)[number];

const RANK: ReadonlyMap<TaskState, number> = new Map(
  TASK_STATES.map((state, rank) => [state, rank]),
);

/** Asked of every task by every walk: one look instead of two. */
const TERMINAL: ReadonlySet<TaskState> = new Set(
  TASK_STATES.slice(TASK_STATES.indexOf('running') + 1),
);

/** Negative when `left` comes before `right`. */
export function compareTaskState(left: TaskState, right: TaskState): number {
  return (RANK.get(left) ?? 0) - (RANK.get(right) ?? 0);
}

/** What a manager wants of a task; `remove` means: stop it, then delete the object. */
export type DesiredState = 'ready' | 'running' | 'complete' | 'shutdown' | 'remove';

/** Published with mode=host: what the node really opened. */
export interface PortStatus {
  readonly protocol: PortProtocol;
  readonly targetPort: number;
  readonly publishedPort: number;
}

export type PortProtocol = 'tcp' | 'udp' | 'sctp';

export interface TaskStatus {
  readonly state: TaskState;
  readonly at: InstantMs;
  /** What the task is doing, Docker's words: `started`, `preparing`, `pending task scheduling`… */
  readonly message: string;
  /** Why it is not doing it; the Error column of `service ps`. */
  readonly error?: string | undefined;
  readonly containerId?: string | undefined;
  readonly pid?: number | undefined;
  readonly exitCode?: number | undefined;
  readonly hostPorts?: readonly PortStatus[] | undefined;
}

/** Message of a task that its host killed because it heard no manager for as long as the service's fence. */
export const FENCED_MESSAGE = 'fenced';

/** The task's place on one network, fixed by the allocator before the task is placed. */
export interface NetworkAttachment {
  readonly networkId: NetworkId;
  /** With prefix length: `10.0.1.5/24`. A list from the first day: dual stack. */
  readonly addresses: readonly string[];
  readonly aliases: readonly string[];
}

/** The volume that stands for one mount of type `cluster`. */
export interface TaskVolume {
  readonly volumeId: VolumeId;
  /** As the mount has it: name of the volume or `group:NAME`. */
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

/** A one-shot try to run one slot of a service. A restart is a new task in the same slot. */
export interface Task {
  readonly id: TaskId;
  readonly version: Version;
  readonly createdAt: InstantMs;
  readonly updatedAt: InstantMs;
  readonly serviceId: ServiceId;
  /** Name of the service when the task was made; task names survive the service's removal. */
  readonly serviceName: string;
  /** Which spec it runs: the object `revisionId(serviceId, specVersion)`. */
  readonly specVersion: number;
  /** From 1 for replicated services; 0 for global ones; jobs count from 0. */
  readonly slot: number;
  /** Fixed from state `assigned` on. Global tasks carry it from the start. */
  readonly nodeId?: NodeId | undefined;
  readonly desiredState: DesiredState;
  readonly status: TaskStatus;
  readonly networks: readonly NetworkAttachment[];
  /** What the task holds of its node's generic resources, fixed with `nodeId`. */
  readonly genericResources?: readonly GenericResource[] | undefined;
  /** Cluster volumes chosen for its mounts of type `cluster`, fixed with `nodeId`. */
  readonly volumes?: readonly TaskVolume[] | undefined;
  /** It is to be replaced by one elsewhere: since when, and which node was better then. */
  readonly move?: { readonly node: NodeId; readonly at: InstantMs } | undefined;
  /** A restarted task waits in `ready` until this instant, then its desired state becomes running. */
  readonly startAfter?: InstantMs | undefined;
  /** Restarts of this slot so far, and when each happened, newest last; bounded by the restart policy's window. */
  readonly restarts?: readonly InstantMs[] | undefined;
  /** Failures of this slot in a row before this task; the restart delay doubles with each. */
  readonly failures?: number | undefined;
  /** Service job iteration the task belongs to. */
  readonly jobIteration?: number | undefined;
  /** Every living node with one of its networks holds the table in which it is in service. Only told of what an update or a drain waits for. */
  readonly reachable?: boolean | undefined;
}

/** A node that lives but does not acknowledge holds up an update or a drain for this long at most. */
const REACHABLE_WITHIN_MS = 5_000;

/** Until when a task is waited for that runs and may not be reachable from everywhere yet; undefined: it serves. */
export function serviceAwaitedUntil(task: Task, now: InstantMs): InstantMs | undefined {
  if (task.networks.length === 0 || task.reachable) return undefined;
  const until = (task.status.at + REACHABLE_WITHIN_MS) as InstantMs;
  return now < until ? until : undefined;
}

export function isTerminal(state: TaskState): boolean {
  return TERMINAL.has(state);
}

/** What a node reports of a task; one that was told to stop keeps the reason why, which the node does not know. */
export function reportedStatus(task: Task, reported: TaskStatus): TaskStatus {
  const told = task.desiredState === 'shutdown' || task.desiredState === 'remove';
  const { error } = task.status;
  if (reported.error !== undefined || error === undefined || !told) return reported;
  return { ...reported, error };
}

/** Wanted alive: desired ready, running or (jobs) complete, and not over yet. */
export function isRunnable(task: Task): boolean {
  const wanted = task.desiredState !== 'shutdown' && task.desiredState !== 'remove';
  return wanted && !isTerminal(task.status.state);
}

/**
 * A task that is and was alive on its node came nearer to running: most reports of agents are this. Nobody decides
 * anything about its service because of it, unless that is being updated or the task is held.
 */
export function isProgress(before: Task, after: Task): boolean {
  return (
    isRunnable(before) &&
    isRunnable(after) &&
    after.desiredState !== 'ready' &&
    before.desiredState === after.desiredState &&
    before.nodeId !== undefined &&
    before.nodeId === after.nodeId &&
    before.specVersion === after.specVersion &&
    before.move?.at === after.move?.at &&
    before.reachable === after.reachable
  );
}

/** Wanted alive but without addresses or node, held until its time has come, or on the move: somebody has to decide about it. */
export function isWaiting(task: Task): boolean {
  if (isHeldBack(task)) return true;
  if (!isRunnable(task)) return false;
  if (task.move !== undefined) return true;
  return task.desiredState === 'ready' || compareTaskState(task.status.state, 'assigned') < 0;
}

/** Held until an instant, and over before that: whoever comes next waits for the same instant. */
function isHeldBack({ desiredState, startAfter, status }: Task): boolean {
  return desiredState === 'ready' && startAfter !== undefined && isTerminal(status.state);
}

/** `web.1` for replicated slots, `web.NODE` for global ones; containers append `.TASK`. */
export function slotName(task: Task): string {
  return `${task.serviceName}.${task.slot === 0 && task.jobIteration === undefined ? (task.nodeId ?? '0') : task.slot}`;
}

/** The name of the task's container: `web.1.<task id>`. */
export function taskName(task: Task): string {
  return `${slotName(task)}.${task.id}`;
}
