import {
  type Change,
  compareTaskState,
  type DeciderInput,
  type Decision,
  type Dirty,
  isTerminal,
  type NodeId,
  networkTargets,
  removeObject,
  type ServiceId,
  serviceMode,
  type Task,
  type TaskId,
  taskHistoryLimit,
  type View,
} from '../model/index.ts';

/**
 * Delete what nobody needs any more: tasks that were removed and have stopped, tasks that never reached a node, old
 * tries of a slot beyond the history limit, revisions without tasks, and networks being removed that are empty.
 */
export function decideReaping({ view, dirty }: DeciderInput): Decision {
  const dead = new Set<TaskId>();
  for (const id of stirredServices(view, dirty)) collectDead(view, id, dead);
  const changes: Change[] = [];
  for (const id of dead) {
    const task = view.get('task', id);
    if (task) changes.push(removeObject('task', task));
  }
  return { changes: [...changes, ...idleRevisions(view, dead), ...emptyNetworks(view, dead)] };
}

/** Services whose tasks may have come to their end: they, their tasks or the nodes of those changed. */
function stirredServices(view: View, dirty: Dirty): ReadonlySet<ServiceId> {
  if (dirty.cluster) return new Set([...view.list('task')].map(({ serviceId }) => serviceId));
  const services = new Set(dirty.services);
  for (const id of dirty.tasks) {
    const task = view.get('task', id);
    if (task) services.add(task.serviceId);
  }
  for (const id of dirty.nodes) {
    for (const { serviceId } of view.tasksOfNode(id)) services.add(serviceId);
  }
  return services;
}

function collectDead(view: View, id: ServiceId, dead: Set<TaskId>): void {
  const service = view.get('service', id);
  const kind = service && serviceMode(service.spec).kind;
  const perNode = kind === 'global' || kind === 'global-job';
  const slots = new Map<string | number, Task[]>();
  for (const task of view.tasksOfService(id)) {
    if (isFinished(view, task)) dead.add(task.id);
    else if (task.desiredState !== 'remove') {
      group(slots, perNode ? (task.nodeId ?? '') : task.slot, task);
    }
  }
  const limit = taskHistoryLimit(view.cluster);
  for (const tasks of slots.values()) {
    for (const task of beyondHistory(tasks, limit)) dead.add(task.id);
  }
}

/** Not wanted, and nothing of it is left on a node that we could still hear from. */
function isFinished(view: View, task: Task): boolean {
  const { state } = task.status;
  const unplaced = compareTaskState(state, 'assigned') < 0;
  if (task.desiredState === 'shutdown') return unplaced;
  if (task.desiredState !== 'remove') return false;
  return unplaced || isTerminal(state) || isOutOfReach(view, task.nodeId);
}

function isOutOfReach(view: View, nodeId: NodeId | undefined): boolean {
  const node = nodeId === undefined ? undefined : view.get('node', nodeId);
  return !node || node.status.state === 'down';
}

/** The oldest finished tries of one slot; its last task always stays, it may say that the slot gave up. */
function beyondHistory(tasks: readonly Task[], limit: number): readonly Task[] {
  if (limit < 0 || tasks.length <= Math.max(1, limit)) return [];
  const sorted = tasks.toSorted((left, right) => left.createdAt - right.createdAt);
  const excess = sorted.length - Math.max(1, limit);
  return sorted.slice(0, -1).filter(isHistory).slice(0, excess);
}

function isHistory(task: Task): boolean {
  return isTerminal(task.status.state) && task.desiredState !== 'running';
}

function idleRevisions(view: View, dead: ReadonlySet<TaskId>): readonly Change[] {
  const changes: Change[] = [];
  for (const revision of view.list('revision')) {
    const service = view.get('service', revision.serviceId);
    const { specVersion } = revision;
    const held =
      service?.specVersion === specVersion || service?.previousSpecVersion === specVersion;
    if (held) continue;
    const tasks = [...view.tasksOfService(revision.serviceId)];
    const used = tasks.some((task) => task.specVersion === specVersion && !dead.has(task.id));
    if (!used) changes.push(removeObject('revision', revision));
  }
  return changes;
}

function emptyNetworks(view: View, dead: ReadonlySet<TaskId>): readonly Change[] {
  const changes: Change[] = [];
  for (const network of view.list('network')) {
    if (!network.removing) continue;
    const live = [...view.tasksOfNetwork(network.id)].some(
      (task) => !dead.has(task.id) && !isTerminal(task.status.state),
    );
    const named = [...view.list('service')].some((service) =>
      networkTargets(service.spec).some(({ target }) => target === network.id),
    );
    if (!live && !named) changes.push(removeObject('network', network));
  }
  return changes;
}

function group(slots: Map<string | number, Task[]>, key: string | number, task: Task): void {
  const tasks = slots.get(key);
  if (tasks) tasks.push(task);
  else slots.set(key, [task]);
}
