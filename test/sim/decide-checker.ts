/** What must be true of the replicated objects at every moment, whatever happens. One function per property. */
import {
  compareTaskState,
  isRunnable,
  isTerminal,
  minAvailableOf,
  type Network,
  revisionId,
  type Service,
  type ServiceSpec,
  serviceMode,
  servicePolicy,
  type Tables,
  type Task,
  type UpdatePolicy,
  type UpdateStatus,
  updatePolicy,
  type View,
} from '../../pkg/model/index.ts';

type Applied = ReturnType<Tables['apply']>;

/** A task only moves right and keeps its node. */
export function checkTaskMoves(applied: Applied): readonly string[] {
  const found: string[] = [];
  for (const { kind, before, after } of applied) {
    if (kind !== 'task' || !before || !after) continue;
    if (compareTaskState(after.status.state, before.status.state) < 0) {
      found.push(`task ${after.id} moved left: ${before.status.state} to ${after.status.state}`);
    }
    if (before.nodeId !== undefined && before.nodeId !== after.nodeId) {
      found.push(`task ${after.id} changed its node`);
    }
    const gone = before.desiredState === 'remove' || before.desiredState === 'shutdown';
    if (gone && isRunnable(after)) found.push(`task ${after.id} is wanted again`);
  }
  return found;
}

/** No two holders share an address, an identifier or a published port. */
export function checkUnique(view: View): readonly string[] {
  const holders = new Map<string, string>();
  const found: string[] = [];
  for (const [what, holder] of claims(view)) {
    const other = holders.get(what);
    if (other !== undefined) found.push(`${what} is held by ${other} and ${holder}`);
    holders.set(what, holder);
  }
  return found;
}

/** What is held by whom; each thing may come up once. */
function* claims(view: View): Iterable<readonly [string, string]> {
  for (const network of view.list('network')) yield* networkClaims(network);
  for (const service of view.list('service')) yield* serviceClaims(service);
  const ingress = [...view.list('network')].find((network) => network.spec.Ingress);
  for (const { id, ingressAddress } of view.list('node')) {
    if (ingressAddress) yield [`address ${ingress?.id} ${bare(ingressAddress)}`, id];
  }
  for (const task of view.list('task')) if (!isTerminal(task.status.state)) yield* taskClaims(task);
}

function* networkClaims({ id, vni, subnets }: Network): Iterable<readonly [string, string]> {
  if (vni !== 0) yield [`vni ${vni}`, id];
  for (const { subnet, gateway } of subnets) {
    yield [`subnet ${subnet}`, id];
    yield [`address ${id} ${gateway}`, 'gateway'];
  }
}

function* serviceClaims({ id, endpoint }: Service): Iterable<readonly [string, string]> {
  for (const vip of endpoint.virtualIps) {
    yield [`address ${vip.networkId} ${bare(vip.address)}`, id];
  }
  for (const port of endpoint.ports) {
    if (port.publishMode === 'ingress') yield [`port ${port.protocol}/${port.publishedPort}`, id];
  }
}

function* taskClaims(task: Task): Iterable<readonly [string, string]> {
  for (const { networkId, addresses } of task.networks) {
    for (const address of addresses) yield [`address ${networkId} ${bare(address)}`, task.id];
  }
}

/** Every task can still read the spec it was made from. */
export function checkRevisions(view: View): readonly string[] {
  return [...view.list('task')]
    .filter((task) => view.get('service', task.serviceId) !== undefined)
    .filter((task) => !view.get('revision', revisionId(task.serviceId, task.specVersion)))
    .map((task) => `task ${task.id} has lost its revision ${task.specVersion}`);
}

/** Where a task that is not over has addresses, there is a network that knows them as taken. */
export function checkNetworks(view: View): readonly string[] {
  const found: string[] = [];
  for (const { id, networks, status } of view.list('task')) {
    if (isTerminal(status.state)) continue;
    for (const { networkId } of networks) {
      if (!view.get('network', networkId)) found.push(`task ${id} outlives network ${networkId}`);
    }
  }
  return found;
}

/** Reservations of what is on a node never exceed what the node has. */
export function checkResources(view: View): readonly string[] {
  const found: string[] = [];
  for (const node of view.list('node')) {
    let nanoCpus = 0;
    for (const task of view.tasksOfNode(node.id)) {
      if (isTerminal(task.status.state) || compareTaskState(task.status.state, 'assigned') < 0)
        continue;
      const spec = view.revision(task.serviceId, task.specVersion)?.spec;
      nanoCpus += spec?.TaskTemplate?.Resources?.Reservations?.NanoCPUs ?? 0;
    }
    if (nanoCpus > (node.description?.nanoCpus ?? 0)) found.push(`node ${node.id} is overbooked`);
  }
  return found;
}

/**
 * An update takes slots only while no more than `parallelism` replacements do not run yet. More may have to start
 * again when a node with several of them is lost.
 */
export function checkParallelism(applied: Applied): readonly string[] {
  const found: string[] = [];
  for (const { kind, before, after } of applied) {
    const status = kind === 'service' ? after?.updateStatus : undefined;
    if (kind !== 'service' || !after || !status) continue;
    const known = new Set(before?.updateStatus?.active.map(({ slot }) => slot));
    const slots = status.active.map(({ slot }) => slot);
    if (new Set(slots).size < slots.length) found.push(`service ${after.id} watches a slot twice`);
    const { parallelism } = policyOf(after.spec, status.state);
    const starting = status.active.filter((entry) => entry.runningSince === undefined).length;
    const took = slots.some((slot) => !known.has(slot));
    if (took && parallelism > 0 && starting > parallelism) {
      found.push(`service ${after.id} replaces ${starting} slots at a time`);
    }
  }
  return found;
}

/** An update stops or turns back exactly when more replacements failed than its ratio allows. */
export function checkFailureRatio(view: View, applied: Applied): readonly string[] {
  const found: string[] = [];
  const removed = new Map(
    applied.flatMap((one) =>
      one.kind === 'task' && one.before && !one.after ? [[one.before.id, one.before]] : [],
    ),
  );
  for (const { kind, before, after } of applied) {
    if (kind !== 'service' || !after) continue;
    const was = before?.updateStatus;
    const is = after.updateStatus;
    const sameUpdate = was && was.startedAt === is?.startedAt;
    const asked = is?.message === 'manually requested rollback';
    const turned = was?.state === 'updating' && is?.state === 'rollback_started';
    if (sameUpdate && turned && !asked && !is.overdue) {
      const over = was.active.filter(({ taskId }) => {
        // The same entry may take the failed task out of the history.
        const task = view.get('task', taskId) ?? removed.get(taskId);
        return task !== undefined && isTerminal(task.status.state);
      });
      const { maxFailureRatio } = updatePolicy(before?.spec.UpdateConfig);
      const failures = was.failures + over.length;
      if (failures <= maxFailureRatio * was.slotsTotal) found.push(`${after.id} rolled back early`);
    }
    if (is && is.slotsTotal > 0 && !fitsRatio(after.spec, is)) {
      found.push(`${after.id} is ${is.state} with ${is.failures} of ${is.slotsTotal} failed`);
    }
  }
  return found;
}

function fitsRatio(spec: ServiceSpec, status: UpdateStatus): boolean {
  const policy = policyOf(spec, status.state);
  const exceeded = status.failures > policy.maxFailureRatio * status.slotsTotal;
  if (status.state === 'paused' || status.state === 'rollback_paused') {
    return exceeded || status.overdue === true;
  }
  return policy.failureAction === 'continue' || !exceeded;
}

function policyOf(spec: ServiceSpec, state: string): UpdatePolicy {
  return updatePolicy(state.startsWith('rollback') ? spec.RollbackConfig : spec.UpdateConfig);
}

/** What whoever decided may have known. */
export interface Known {
  /** What is stamped no earlier than this was perhaps not. */
  readonly until: number;
  /** Whether a service or node changed a moment ago; it is stamped with when somebody asked for it, which may be long before. */
  readonly isNews: (id: string) => boolean;
}

/**
 * What an update takes away by itself: a slot may only lose its running task when it is one of the slots being
 * replaced (stop-first), or when a newer task of the slot runs (start-first).
 */
export function checkKeepsServing(
  view: View,
  applied: Applied,
  known: Known = { until: Number.MAX_SAFE_INTEGER, isNews: () => false },
): readonly string[] {
  const found: string[] = [];
  for (const { kind, before, after } of applied) {
    if (kind !== 'task' || !before || !after) continue;
    const stopped =
      isRunnable(before) && before.status.state === 'running' && after.desiredState === 'shutdown';
    if (!stopped || isTerminal(after.status.state)) continue;
    const reason = mayStop(view, after, known);
    if (reason !== undefined) found.push(`task ${after.id} was stopped: ${reason}`);
  }
  return found;
}

function mayStop(view: View, task: Task, known: Known): string | undefined {
  const service = view.get('service', task.serviceId);
  const node = task.nodeId && view.get('node', task.nodeId);
  if (!service || !node) return undefined;
  if (known.isNews(service.id) || known.isNews(node.id)) return undefined;
  const lost = node.status.state === 'down' || node.spec.Availability === 'drain';
  const error = task.status.error ?? '';
  if (lost || /^(assigned node no longer |preempted by )/.test(error)) {
    return undefined;
  }
  if (serviceMode(service.spec).kind !== 'replicated') return undefined;
  const rivals = [...view.tasksOfService(task.serviceId)].filter(
    (other) => other.slot === task.slot && other.id !== task.id,
  );
  const runs = ({ status }: Task): boolean =>
    status.state === 'running' || (isTerminal(status.state) && status.at >= known.until);
  if (
    rivals.some((other) => (isRunnable(other) || isTerminal(other.status.state)) && runs(other))
  ) {
    return undefined;
  }
  const status = service.updateStatus;
  const replaced = status?.active.some(({ slot }) => slot === String(task.slot)) === true;
  const { order } = policyOf(service.spec, status?.state ?? '');
  if (replaced && order === 'stop-first') return undefined;
  return replaced ? 'its replacement does not run yet' : 'nothing asked for it';
}

/** Update and preemption leave as many running slots as the service must have; a drain does so until its deadline. */
export function checkMinAvailable(view: View, applied: Applied): readonly string[] {
  return applied.flatMap(({ kind, before, after }) => {
    if (kind !== 'task' || !before || !after) return [];
    const stopped =
      isRunnable(before) && before.status.state === 'running' && after.desiredState === 'shutdown';
    return stopped && !isTerminal(after.status.state) ? tooFewWithout(view, after) : [];
  });
}

function tooFewWithout(view: View, task: Task): readonly string[] {
  const service = view.get('service', task.serviceId);
  const node = task.nodeId && view.get('node', task.nodeId);
  const mode = service && serviceMode(service.spec);
  if (!node || !service || mode?.kind !== 'replicated') return [];
  const lost = node.status.state === 'down' || node.spec.Availability === 'drain';
  if (lost || task.status.error === 'assigned node no longer meets constraints') return [];
  const running = [...view.tasksOfService(service.id)].filter(
    (other) => isRunnable(other) && other.status.state === 'running',
  );
  const slots = new Set(running.map(({ slot }) => slot));
  const least = minAvailableOf(servicePolicy(service.spec), mode.replicas);
  if (slots.has(task.slot) || slots.size >= least) return [];
  return [`task ${task.id} was stopped and ${slots.size} of ${least} slots are left`];
}

function bare(address: string): string {
  return address.split('/', 1)[0] ?? address;
}
