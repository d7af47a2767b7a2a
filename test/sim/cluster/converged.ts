import {
  type InstantMs,
  isRunnable,
  isTerminal,
  type Service,
  type ServiceId,
  serviceMode,
  type Task,
  taskSpecChanged,
  type View,
} from '../../../pkg/model/index.ts';
import type { Host } from './host.ts';
import { isBad } from './objects.ts';

/** What keeps the cluster from being what was asked for; nothing when it is. `hosts`: those that live. */
export function unconverged(view: View, now: InstantMs, hosts: readonly Host[]): readonly string[] {
  const found: string[] = [];
  for (const { id } of view.list('service')) found.push(...ofService(view, id));
  for (const task of view.list('task')) {
    const stopping = task.desiredState === 'shutdown' || task.desiredState === 'remove';
    if (stopping && !isTerminal(task.status.state)) found.push(`task ${task.id} does not stop`);
    if (task.startAfter !== undefined && task.startAfter > now)
      found.push(`task ${task.id} is held`);
  }
  for (const { nodeId, runtime } of hosts) {
    const wanted = [...view.tasksOfNode(nodeId)].filter(isRunning).map(({ id }) => id as string);
    const running = runtime.running().map(({ taskId }) => taskId);
    if (wanted.toSorted().join() !== running.toSorted().join()) {
      found.push(`${nodeId} runs ${running.join()} instead of ${wanted.join()}`);
    }
    if (view.get('node', nodeId)?.status.state !== 'ready') found.push(`${nodeId} is not ready`);
  }
  return found;
}

/** Nodes, ports and subnets are small enough that some wishes cannot be met; the task then says so. */
export function waitsForRoom(view: View, id: ServiceId): boolean {
  return [...view.tasksOfService(id)].some(
    (task) => isRunnable(task) && /no suitable node|no address left/.test(task.status.error ?? ''),
  );
}

/** A paused update, which waits for somebody, left slots in a version that never runs for long. */
export function keepsBad(view: View, { id, updateStatus }: Service): boolean {
  if (updateStatus?.state !== 'paused' && updateStatus?.state !== 'rollback_paused') return false;
  return [...view.tasksOfService(id)].some((task) => {
    const spec = view.revision(id, task.specVersion)?.spec;
    // Also one that is over: it waits for its restart delay.
    const isPresent = task.desiredState === 'ready' || task.desiredState === 'running';
    return isPresent && spec !== undefined && isBad(spec);
  });
}

function ofService(view: View, id: ServiceId): readonly string[] {
  const service = view.get('service', id);
  if (!service) return [];
  const mode = serviceMode(service.spec);
  const wanted = mode.kind === 'replicated' ? mode.replicas : view.count('node');
  const running = [...view.tasksOfService(id)].filter(isRunning);
  if (waitsForRoom(view, id)) return [];
  const found: string[] = [];
  if (running.length !== wanted) found.push(`service ${id} runs ${running.length} of ${wanted}`);
  const state = service.updateStatus?.state;
  if (state === 'updating' || state === 'rollback_started') found.push(`service ${id} is ${state}`);
  if (state === 'paused' || state === 'rollback_paused') return found;
  const stale = running.filter((task) => {
    const spec = view.revision(id, task.specVersion)?.spec;
    return !spec || taskSpecChanged(spec, service.spec);
  });
  if (stale.length > 0) found.push(`service ${id} has ${stale.length} outdated tasks`);
  return found;
}

function isRunning(task: Task): boolean {
  return task.desiredState === 'running' && task.status.state === 'running';
}
