import {
  type InstantMs,
  type NodeId,
  serviceMode,
  type Task,
  type TaskId,
  VERSION_NONE,
} from '../model/index.ts';
import { isFencedOff } from './fence.ts';
import type { SlotKey, Workload } from './workload.ts';

/** How a task begins: at once, or prepared and held until `releaseTasks` lets it run. */
export interface NewTask {
  readonly id: TaskId;
  readonly slot: SlotKey;
  readonly hold: boolean;
  readonly startAfter?: InstantMs | undefined;
  readonly restarts?: readonly InstantMs[] | undefined;
  readonly failures?: number | undefined;
  /** Not the service's present spec but this older one. */
  readonly specVersion?: number | undefined;
}

/** Put a new task into a slot. It starts in state `new`: no addresses and, except for global services, no node. */
export function addTask(work: Workload, wish: NewTask): Task {
  const { service, now } = work;
  const mode = serviceMode(service.spec).kind;
  const perNode = mode === 'global' || mode === 'global-job';
  const job = mode === 'replicated-job' || mode === 'global-job';
  const hold = wish.hold || isFencedOff(work, wish.slot);
  const task: Task = {
    id: wish.id,
    version: VERSION_NONE,
    createdAt: now,
    updatedAt: now,
    serviceId: service.id,
    serviceName: service.spec.Name ?? '',
    specVersion: wish.specVersion ?? service.specVersion,
    slot: perNode ? 0 : Number(wish.slot),
    nodeId: perNode ? (wish.slot as string as NodeId) : undefined,
    desiredState: hold ? 'ready' : startedState(job),
    status: { state: 'new', at: now, message: 'created' },
    networks: [],
    startAfter: wish.startAfter,
    restarts: wish.restarts,
    failures: wish.failures,
    jobIteration: job ? (service.jobIteration ?? 0) : undefined,
  };
  work.add(task);
  return task;
}

/** What is wanted of a task that may run. */
export function startedState(job: boolean): 'running' | 'complete' {
  return job ? 'complete' : 'running';
}
