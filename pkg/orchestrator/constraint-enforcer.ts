import {
  type Change,
  claimGeneric,
  compareTaskState,
  compareText,
  type DeciderInput,
  type Decision,
  type GenericResource,
  isRunnable,
  type Node,
  nodeSatisfies,
  onlyConstraintsChanged,
  type ServiceSpec,
  servicePolicy,
  type Task,
  updateObject,
  type View,
} from '../model/index.ts';

/** Docker's text, whichever of the two it is. */
const ERROR = 'assigned node no longer meets constraints';

/**
 * A node whose labels, role, address or size changed no longer keeps tasks that were placed there under other
 * conditions. They are stopped; the next pass replaces them where the conditions hold. A node that is paused keeps what
 * it has, one that is drained loses it anyway.
 */
export function decideConstraints({ view, dirty }: DeciderInput): Decision {
  const changes: Change[] = [];
  for (const id of dirty.nodes) {
    const node = view.get('node', id);
    // A node that has not described itself yet may satisfy everything.
    if (!node?.description || node.spec.Availability !== 'active') continue;
    const placed = [...view.tasksOfNode(id)].filter(isPlaced);
    const broken = new Set(
      placed.filter((task) => !nodeSatisfies(node, constraintsOf(view, task))),
    );
    for (const task of tooMuch(
      view,
      node,
      placed.filter((one) => !broken.has(one)),
    )) {
      broken.add(task);
    }
    for (const task of broken) {
      const status = { ...task.status, error: ERROR };
      changes.push(updateObject('task', { ...task, desiredState: 'shutdown', status }));
    }
  }
  return { changes };
}

function isPlaced(task: Task): boolean {
  return isRunnable(task) && compareTaskState(task.status.state, 'assigned') >= 0;
}

/** Who does not fit on a node that became smaller: of the lowest priority first, then the youngest. */
function tooMuch(view: View, node: Node, placed: readonly Task[]): readonly Task[] {
  const { nanoCpus = 0, memoryBytes = 0, genericResources = [] } = node.description ?? {};
  const priorities = new Map(placed.map((task) => [task, priorityOf(view, task)]));
  const kept = placed.toSorted(
    (left, right) =>
      (priorities.get(right) ?? 0) - (priorities.get(left) ?? 0) ||
      left.createdAt - right.createdAt ||
      compareText(left.id, right.id),
  );
  const left = { nanoCpus, memoryBytes, held: [] as GenericResource[] };
  return kept.filter((task) => {
    const reserved = view.revision(task.serviceId, task.specVersion)?.spec.TaskTemplate?.Resources;
    const { NanoCPUs, MemoryBytes } = reserved?.Reservations ?? {};
    const cpus = NanoCPUs ?? 0;
    const memory = MemoryBytes ?? 0;
    const generic = task.genericResources ?? [];
    const fits =
      cpus <= left.nanoCpus &&
      memory <= left.memoryBytes &&
      generic.every((claim) => isStillOffered(claim, genericResources, left.held));
    if (!fits) return cpus > 0 || memory > 0 || generic.length > 0;
    left.nanoCpus -= cpus;
    left.memoryBytes -= memory;
    left.held.push(...generic);
    return false;
  });
}

/** The node still has what the task holds: those names, or that many. */
function isStillOffered(
  claim: GenericResource,
  offered: readonly GenericResource[],
  held: readonly GenericResource[],
): boolean {
  const offer = offered.find(({ kind }) => kind === claim.kind);
  if (!offer || (claim.names === undefined) !== (offer.names === undefined)) return false;
  if (claim.names) return claim.names.every((name) => offer.names?.includes(name));
  return claimGeneric(offered, held, [claim]) !== undefined;
}

function priorityOf(view: View, { serviceId }: Task): number {
  const spec = view.get('service', serviceId)?.spec;
  return spec ? servicePolicy(spec).priority : 0;
}

/** The service's present constraints where they are all that changed since the task was made, else the task's own. */
function constraintsOf(view: View, task: Task): readonly string[] {
  const own = view.revision(task.serviceId, task.specVersion)?.spec;
  const present = view.get('service', task.serviceId)?.spec;
  const spec: ServiceSpec | undefined =
    own && present && onlyConstraintsChanged(own, present) ? present : own;
  return spec?.TaskTemplate?.Placement?.Constraints ?? [];
}
