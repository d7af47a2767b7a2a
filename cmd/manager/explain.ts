import {
  compareTaskState,
  type InstantMs,
  isRunnable,
  isTerminal,
  must,
  type NodeId,
  type Service,
  type ServiceId,
  type Task,
  type TaskId,
  type View,
} from '../../pkg/model/index.ts';
import { explainSlot, explainWorkload } from '../../pkg/orchestrator/index.ts';
import { balanceOf, explainPlacement } from '../../pkg/scheduler/index.ts';

/** Different reasons to wait that are worked out for one service. */
const PENDING_MAX = 3;

/** Why a task is where it is: placement and restarts, as the deciders see them now. The task exists. */
export function explainTask(view: View, id: TaskId, now: InstantMs): object {
  const task = must(view.get('task', id), `task ${id}`);
  return {
    task: summary(view, task),
    placement: asksForPlace(task) ? explainPlacement(view, task, now) : undefined,
    slot: explainSlot(view, task, now),
    volumes: explainVolumes(view, task),
    serviceGone: view.get('service', task.serviceId) === undefined,
  };
}

/** What keeps a service from being as its spec says: update, slots that do not run, tasks that wait. */
export function explainService(view: View, id: ServiceId, now: InstantMs): object {
  const service = must(view.get('service', id), `service ${id}`);
  return {
    service: { id, name: service.spec.Name ?? '', specVersion: service.specVersion },
    ...explainWorkload(view, service, now),
    pending: pending(view, service, now),
    rebalance: rebalance(view, service, now),
  };
}

/** What keeps the tasks of a service that asks for it from being spread over all nodes; moves that are under way. */
function rebalance(view: View, service: Service, now: InstantMs): object | undefined {
  const balance = balanceOf(view, service, now);
  if (!balance) return undefined;
  const nameOf = (id: NodeId | undefined): string | undefined =>
    id && (view.get('node', id)?.description?.hostname ?? id);
  const moving = [...view.tasksOfService(service.id)].filter(isRunnable).flatMap((task) => {
    const { slot, nodeId, move } = task;
    return move ? [{ slot, from: nameOf(nodeId), to: nameOf(move.node) }] : [];
  });
  return {
    state: balance.kind,
    until: balance.kind === 'rests' ? balance.until : undefined,
    moving,
  };
}

/** One explanation stands for all tasks of a version that wait for the same reason. */
function pending(view: View, { id }: Service, now: InstantMs): readonly object[] {
  const groups = new Map<string, Task[]>();
  for (const task of view.tasksOfService(id)) {
    if (!isRunnable(task) || compareTaskState(task.status.state, 'assigned') >= 0) continue;
    const key = `${task.specVersion} ${task.status.error ?? ''}`;
    groups.set(key, [...(groups.get(key) ?? []), task]);
  }
  return [...groups.values()].slice(0, PENDING_MAX).map((tasks) => {
    const [first] = tasks;
    return {
      tasks: tasks.length,
      example: first && summary(view, first),
      placement: first && explainPlacement(view, first, now),
    };
  });
}

function asksForPlace(task: Task): boolean {
  return isRunnable(task) || !isTerminal(task.status.state);
}

/** Cluster volumes that the task has to wait for, or undefined. */
function explainVolumes(view: View, task: Task): readonly object[] | undefined {
  if (!isRunnable(task) || compareTaskState(task.status.state, 'ready') >= 0) return undefined;
  const waiting = (task.volumes ?? []).flatMap(({ volumeId, target }) => {
    const volume = view.get('volume', volumeId);
    const publication = volume?.publications.find(({ nodeId }) => nodeId === task.nodeId);
    if (publication?.state === 'published' && !publication.error) return [];
    const { publications = [] } = volume ?? {};
    const elsewhere = publications.find(({ nodeId }) => nodeId !== task.nodeId)?.nodeId;
    return {
      name: volume?.spec.Name ?? volumeId,
      target,
      state: publication?.state ?? 'not published',
      error: publication?.error,
      leaving:
        publication || !elsewhere
          ? undefined
          : (view.get('node', elsewhere)?.description?.hostname ?? elsewhere),
    };
  });
  return waiting.length > 0 ? waiting : undefined;
}

function summary(view: View, task: Task): object {
  const { id, slot, nodeId, desiredState, serviceId, serviceName, specVersion, status } = task;
  const node = nodeId === undefined ? undefined : view.get('node', nodeId);
  return {
    id,
    serviceId,
    serviceName,
    slot,
    specVersion,
    nodeId,
    hostname: node?.description?.hostname,
    desiredState,
    state: status.state,
    since: status.at,
    message: status.message,
    error: status.error,
    exitCode: status.exitCode,
  };
}
