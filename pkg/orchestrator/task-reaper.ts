import {
  type Change,
  compareTaskState,
  type Dirty,
  inSteps,
  isFenceOver,
  isTerminal,
  type Node,
  networkTargets,
  REVISIONS_MAX,
  type Revision,
  removeObject,
  type Service,
  type ServiceId,
  serviceMode,
  servicePolicy,
  type Task,
  type TaskId,
  taskHistoryLimit,
  type View,
} from '../model/index.ts';
import { Stirred, tasksOfSlots } from './stirred.ts';

const TASKS_PER_STEP = 500;

/**
 * Delete what nobody needs any more: tasks that were removed and have stopped, tasks that never reached a node, old
 * tries of a slot beyond the history limit, old revisions without tasks, and networks being removed that are empty.
 */
export const decideReaping = inSteps(function* decideReaping({ view, dirty }) {
  const stirred = yield* stirredServices(view, dirty);
  const services = new Set(stirred.ids);
  const ids = new Set<TaskId>();
  for (const id of services) {
    const service = view.get('service', id);
    const slots = service && stirred.partOf(service);
    const tasks = slots ? tasksOfSlots(view, id, slots) : view.tasksOfService(id);
    yield* collectDead(view, service, tasks, ids);
    yield;
  }
  const dead = [...ids].flatMap((id) => view.get('task', id) ?? []);
  return {
    changes: [
      ...dead.map((task) => removeObject('task', task)),
      ...idleRevisions(view, { all: dirty.cluster, services, dead }),
      ...emptyNetworks(view, ids),
    ],
  };
});

/** Services whose tasks may have come to their end: they, their tasks or the nodes of those changed. */
function* stirredServices(view: View, dirty: Dirty): Generator<void, Stirred> {
  const stirred = new Stirred(dirty);
  if (dirty.cluster) {
    let seen = 0;
    for (const { serviceId } of view.list('task')) {
      stirred.addWhole(serviceId);
      if (++seen % TASKS_PER_STEP === 0) yield;
    }
    return stirred;
  }
  for (const id of dirty.nodes) {
    yield;
    for (const task of view.tasksOfNode(id)) stirred.addSlotOf(task);
  }
  return stirred;
}

function* collectDead(
  view: View,
  service: Service | undefined,
  candidates: Iterable<Task>,
  dead: Set<TaskId>,
): Generator<void, void> {
  const kind = service && serviceMode(service.spec).kind;
  const perNode = kind === 'global' || kind === 'global-job';
  const slots = new Map<string | number, Task[]>();
  let seen = 0;
  for (const task of candidates) {
    if (++seen % TASKS_PER_STEP === 0) yield;
    if (isFinished(view, task)) dead.add(task.id);
    else if (task.desiredState !== 'remove') {
      group(slots, perNode ? (task.nodeId ?? '') : task.slot, task);
    }
  }
  yield* collectHistory(slots.values(), taskHistoryLimit(view.cluster), dead);
}

function* collectHistory(
  slots: Iterable<readonly Task[]>,
  limit: number,
  dead: Set<TaskId>,
): Generator<void, void> {
  let seen = 0;
  for (const tasks of slots) {
    if (++seen % TASKS_PER_STEP === 0) yield;
    for (const task of beyondHistory(tasks, limit)) dead.add(task.id);
  }
}

/** Not wanted, and nothing of it can live: its addresses and ports may be given again. */
function isFinished(view: View, task: Task): boolean {
  const { state } = task.status;
  const unplaced = compareTaskState(state, 'assigned') < 0;
  if (task.desiredState === 'shutdown') return unplaced;
  if (task.desiredState !== 'remove') return false;
  const node = task.nodeId === undefined ? undefined : view.get('node', task.nodeId);
  if (unplaced || isTerminal(state) || !node) return true;
  return isKilled(view, task, node);
}

/**
 * Has a node that is down killed its copy of a fenced task? Any other task may run on behind a partition: it stays until
 * its node is heard, is removed, or counts as lost for good.
 */
function isKilled(view: View, task: Task, node: Node): boolean {
  const spec = view.revision(task.serviceId, task.specVersion)?.spec;
  return spec !== undefined && isFenceOver(node, servicePolicy(spec).fenceMs);
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

/** Revisions that no task was made from and that are beyond the history of their service, or whose service is gone. */
function idleRevisions(
  view: View,
  {
    all,
    services,
    dead,
  }: { all: boolean; services: ReadonlySet<ServiceId>; dead: readonly Task[] },
): readonly Change[] {
  const gone = [...services].some((id) => view.get('service', id) === undefined);
  const candidates = all || gone ? view.list('revision') : oldRevisions(view, services, dead);
  const ids = new Set(dead.map(({ id }) => id));
  const changes: Change[] = [];
  for (const revision of candidates) {
    const { serviceId, specVersion } = revision;
    const service = view.get('service', serviceId);
    if (service && specVersion > service.specVersion - REVISIONS_MAX) continue;
    const tasks = [...view.tasksOfService(serviceId)];
    const used = tasks.some((task) => task.specVersion === specVersion && !ids.has(task.id));
    if (!used) changes.push(removeObject('revision', revision));
  }
  return changes;
}

/** The newest beyond the history and those before it without a gap, and what dead tasks were made from. */
function oldRevisions(
  view: View,
  services: ReadonlySet<ServiceId>,
  dead: readonly Task[],
): ReadonlySet<Revision> {
  const found = new Set<Revision>();
  for (const id of services) {
    let version = (view.get('service', id)?.specVersion ?? 0) - REVISIONS_MAX;
    for (let old = view.revision(id, version); old; old = view.revision(id, --version)) {
      found.add(old);
    }
  }
  for (const { serviceId, specVersion } of dead) {
    const revision = view.revision(serviceId, specVersion);
    if (revision) found.add(revision);
  }
  return found;
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
