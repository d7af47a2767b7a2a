import {
  type Change,
  claimGeneric,
  compareTaskState,
  compareText,
  type GenericResource,
  inSteps,
  isRunnable,
  type Node,
  nodeSatisfies,
  onlyConstraintsChanged,
  type ServiceId,
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
export const decideConstraints = inSteps(function* decideConstraints({ view, dirty }) {
  const changes: Change[] = [];
  const termsOf = termsReader(view);
  for (const id of dirty.nodes) {
    yield;
    const node = view.get('node', id);
    // A node that has not described itself yet may satisfy everything.
    if (!node?.description || node.spec.Availability !== 'active') continue;
    const placed = [...view.tasksOfNode(id)].filter(isPlaced);
    for (const task of broken(node, placed, termsOf)) {
      const status = { ...task.status, error: withdrawn(node, task) ?? ERROR };
      changes.push(updateObject('task', { ...task, desiredState: 'shutdown', status }));
    }
  }
  return { changes };
});

function broken(
  node: Node,
  placed: readonly Task[],
  termsOf: (task: Task) => Terms,
): ReadonlySet<Task> {
  const satisfied = new Map<Terms, boolean>();
  const found = new Set<Task>();
  for (const task of placed) {
    const terms = termsOf(task);
    const known = satisfied.get(terms) ?? nodeSatisfies(node, terms.constraints);
    satisfied.set(terms, known);
    if (!known) found.add(task);
  }
  const others = placed.filter((task) => !found.has(task));
  for (const task of tooMuch(node, others, termsOf)) found.add(task);
  return found;
}

function isPlaced(task: Task): boolean {
  return isRunnable(task) && compareTaskState(task.status.state, 'assigned') >= 0;
}

/** Who does not fit on a node that became smaller: of the lowest priority first, then the youngest. */
function tooMuch(
  node: Node,
  placed: readonly Task[],
  termsOf: (task: Task) => Terms,
): readonly Task[] {
  const { nanoCpus = 0, memoryBytes = 0, genericResources = [] } = node.description ?? {};
  const kept = placed.toSorted(
    (left, right) =>
      termsOf(right).priority - termsOf(left).priority ||
      left.createdAt - right.createdAt ||
      compareText(left.id, right.id),
  );
  const left = { nanoCpus, memoryBytes, held: [] as GenericResource[] };
  return kept.filter((task) => {
    const { cpus, memory } = termsOf(task);
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

/** What the task holds and the node does not offer any more, in words. */
function withdrawn({ description }: Node, { genericResources = [] }: Task): string | undefined {
  const offered = description?.genericResources ?? [];
  const gone = genericResources.find((claim) => !isStillOffered(claim, offered, []));
  return (
    gone && `assigned node no longer offers ${gone.kind} ${gone.names?.join(', ') ?? gone.amount}`
  );
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

/** What the tasks of one service version may ask of their node. */
interface Terms {
  readonly constraints: readonly string[];
  readonly priority: number;
  readonly cpus: number;
  readonly memory: number;
}

/** Reads the terms of tasks; remembers them as long as it lives. */
function termsReader(view: View): (task: Task) => Terms {
  const known = new Map<ServiceId, Map<number, Terms>>();
  return ({ serviceId, specVersion }) => {
    const versions = known.get(serviceId) ?? new Map<number, Terms>();
    known.set(serviceId, versions);
    const terms = versions.get(specVersion) ?? readTerms(view, serviceId, specVersion);
    versions.set(specVersion, terms);
    return terms;
  };
}

function readTerms(view: View, serviceId: ServiceId, specVersion: number): Terms {
  const own = view.revision(serviceId, specVersion)?.spec;
  const present = view.get('service', serviceId)?.spec;
  const { NanoCPUs, MemoryBytes } = own?.TaskTemplate?.Resources?.Reservations ?? {};
  return {
    constraints: constraintsOf(own, present),
    priority: present ? servicePolicy(present).priority : 0,
    cpus: NanoCPUs ?? 0,
    memory: MemoryBytes ?? 0,
  };
}

/** The service's present constraints where they are all that changed since the task was made, else the task's own. */
function constraintsOf(
  own: ServiceSpec | undefined,
  present: ServiceSpec | undefined,
): readonly string[] {
  const spec = own && present && onlyConstraintsChanged(own, present) ? present : own;
  return spec?.TaskTemplate?.Placement?.Constraints ?? [];
}
