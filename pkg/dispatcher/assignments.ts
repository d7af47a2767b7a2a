import { isDeepStrictEqual } from 'node:util';
import type {
  Config,
  DesiredState,
  NetworkId,
  NetworkTable,
  NodeId,
  RegistryCredentials,
  Revision,
  Secret,
  ServiceSpec,
  Task,
  TaskId,
  TaskState,
  View,
  VolumeId,
} from '../model/index.ts';
import { compareTaskState, isTerminal } from '../model/index.ts';
import type { AssignmentChanges, NetworkPatch, VolumeAssignment } from '../rpc/index.ts';
import { volumesOfNode } from './volumes.ts';

/** A network table, numbered by content: two with the same number say the same. */
export interface KnownTable {
  readonly table: NetworkTable;
  readonly content: number;
  /** How it differs from the content before it; absent when more than endpoints did. */
  readonly from?: { readonly content: number; readonly patch: NetworkPatch } | undefined;
}

/** A task as the store has it, and what its agent shall bring it to now. */
interface AssignedTask {
  readonly task: Task;
  readonly desiredState: DesiredState;
  readonly spec: ServiceSpec;
  readonly registryAuth?: RegistryCredentials | undefined;
}

/** Everything one node must know, each with what tells two contents apart. */
export interface AssignmentSet {
  readonly tasks: ReadonlyMap<TaskId, AssignedTask>;
  readonly secrets: ReadonlyMap<string, Secret>;
  readonly configs: ReadonlyMap<string, Config>;
  readonly networks: ReadonlyMap<NetworkId, KnownTable>;
  readonly volumes: ReadonlyMap<VolumeId, VolumeAssignment>;
}

export const EMPTY_SET: AssignmentSet = {
  tasks: new Map(),
  secrets: new Map(),
  configs: new Map(),
  networks: new Map(),
  volumes: new Map(),
};

export interface AssignmentQuery {
  readonly view: View;
  readonly nodeId: NodeId;
  /** Networks that every node takes part in. */
  readonly everywhere: readonly NetworkId[];
  /** Its stop is held back until the drain barrier opens. */
  readonly isHeld: (task: Task) => boolean;
  readonly tableOf: (id: NetworkId) => KnownTable | undefined;
}

/**
 * The assignment set of a node: every task that was placed there and is still in the store (the agent keeps the
 * containers of finished ones for their logs), and what the unfinished ones need.
 */
export function assignmentSet(query: AssignmentQuery): AssignmentSet {
  const { view, nodeId, everywhere, isHeld, tableOf } = query;
  const tasks = new Map<TaskId, AssignedTask>();
  const needs: Needs = { secrets: new Map(), configs: new Map() };
  const wanted = new Set([...everywhere, ...attachedNetworks(view, nodeId)]);
  for (const task of view.tasksOfNode(nodeId)) {
    const revision = view.revision(task.serviceId, task.specVersion);
    if (!revision || !isPlaced(task)) continue;
    const desiredState = isHeld(task) ? 'running' : effectiveDesiredState(task);
    const registryAuth = view.get('service', task.serviceId)?.registryAuth;
    tasks.set(task.id, { task, desiredState, spec: revision.spec, registryAuth });
    if (isTerminal(task.status.state)) continue;
    for (const { networkId } of task.networks) wanted.add(networkId);
    addNeeds(view, revision, needs);
  }
  const networks = new Map<NetworkId, KnownTable>();
  for (const id of wanted) {
    const known = tableOf(id);
    if (known) networks.set(id, known);
  }
  const volumes = volumesOfNode(view, nodeId, needs.secrets);
  return { tasks, ...needs, networks, volumes };
}

/** The same with its tables as they are now, for a node of which nothing else is new: costs its networks, not its tasks. */
export function withTables(
  set: AssignmentSet,
  tableOf: (id: NetworkId) => KnownTable | undefined,
): AssignmentSet {
  const networks = new Map<NetworkId, KnownTable>();
  for (const id of set.networks.keys()) {
    const known = tableOf(id);
    if (known) networks.set(id, known);
  }
  return { ...set, networks };
}

/** Of standalone containers on the node. */
function* attachedNetworks(view: View, node: NodeId): Iterable<NetworkId> {
  for (const { nodeId, networkId, address } of view.list('attachment')) {
    if (nodeId === node && address !== undefined) yield networkId;
  }
}

interface Needs {
  readonly secrets: Map<string, Secret>;
  readonly configs: Map<string, Config>;
}

function addNeeds(view: View, { spec }: Revision, { secrets, configs }: Needs): void {
  const container = spec.TaskTemplate?.ContainerSpec;
  for (const { SecretID } of container?.Secrets ?? []) {
    const secret = view.get('secret', SecretID as Secret['id']);
    if (secret) secrets.set(SecretID, secret);
  }
  for (const { ConfigID } of container?.Configs ?? []) {
    const config = view.get('config', ConfigID as Config['id']);
    if (config) configs.set(ConfigID, config);
  }
}

function isPlaced({ status: { state } }: Task): boolean {
  return compareTaskState(state, 'assigned') >= 0 && state !== 'orphaned';
}

/** Networks that every node takes part in. */
export function ingressNetworks(view: View): readonly NetworkId[] {
  return [...view.list('network')].flatMap(({ id, spec }) => (spec.Ingress ? id : []));
}

/** What a manager ended by itself must not go on running on the node. */
function effectiveDesiredState(task: Task): DesiredState {
  const wantsAlive = task.desiredState !== 'shutdown' && task.desiredState !== 'remove';
  return wantsAlive && isTerminal(task.status.state) ? 'shutdown' : task.desiredState;
}

/** An update that changes no assignment set and no network table: most reports of agents are. */
export function isSameToAgent(before: Task, after: Task): boolean {
  return (
    before.nodeId === after.nodeId &&
    before.desiredState === after.desiredState &&
    phase(before.status.state) === phase(after.status.state) &&
    isSameWork(before, after)
  );
}

/** The agent's own reports come back as new versions of the task; they are no news to it. */
function isSameWork(before: Task, after: Task): boolean {
  if (before === after) return true;
  const sameNetworks =
    before.networks === after.networks ||
    (before.networks.length === 0 && after.networks.length === 0) ||
    JSON.stringify(before.networks) === JSON.stringify(after.networks);
  return before.specVersion === after.specVersion && sameNetworks;
}

/** What sets and tables tell apart of a task's state. */
function phase(state: TaskState): 'unplaced' | 'coming' | 'running' | 'over' | 'orphaned' {
  if (state === 'running' || state === 'orphaned') return state;
  if (isTerminal(state)) return 'over';
  return compareTaskState(state, 'assigned') < 0 ? 'unplaced' : 'coming';
}

/** The differences between two sets, or undefined when there are none. */
export function diffAssignments(
  before: AssignmentSet,
  after: AssignmentSet,
): AssignmentChanges | undefined {
  const tasks = changed(
    before.tasks,
    after.tasks,
    (a, b) => a.desiredState === b.desiredState && isSameWork(a.task, b.task),
  );
  const secrets = changed(before.secrets, after.secrets, (a, b) => a.version === b.version);
  const configs = changed(before.configs, after.configs, (a, b) => a.version === b.version);
  const { networks, networkPatches } = networkDifferences(before.networks, after.networks);
  const changes: AssignmentChanges = {
    tasks: tasks.map(({ task, desiredState, ...rest }) => ({
      ...rest,
      task: { ...task, desiredState },
    })),
    removedTasks: removed(before.tasks, after.tasks),
    secrets,
    removedSecrets: removed(before.secrets, after.secrets),
    configs,
    removedConfigs: removed(before.configs, after.configs),
    networks,
    networkPatches,
    removedNetworks: removed(before.networks, after.networks),
    volumes: changed(before.volumes, after.volumes, isDeepStrictEqual),
    removedVolumes: removed(before.volumes, after.volumes),
  };
  return Object.values(changes).every((list) => !list?.length) ? undefined : changes;
}

/** Endpoints alone if the node holds the content just before; a whole table otherwise. */
function networkDifferences(
  before: AssignmentSet['networks'],
  after: AssignmentSet['networks'],
): Pick<AssignmentChanges, 'networks' | 'networkPatches'> {
  const networks: NetworkTable[] = [];
  const networkPatches: NetworkPatch[] = [];
  for (const [id, known] of after) {
    const held = before.get(id)?.content;
    if (held === known.content) continue;
    // The whole table is put together only when somebody asks for it.
    if (known.from && held === known.from.content) networkPatches.push(known.from.patch);
    else networks.push(known.table);
  }
  return { networks, networkPatches };
}

function changed<K, V>(
  before: ReadonlyMap<K, V>,
  after: ReadonlyMap<K, V>,
  same: (left: V, right: V) => boolean,
): readonly V[] {
  const found: V[] = [];
  if (before === after) return found;
  for (const [id, value] of after) {
    const old = before.get(id);
    if (old === undefined || !same(old, value)) found.push(value);
  }
  return found;
}

function removed<K>(before: ReadonlyMap<K, unknown>, after: ReadonlyMap<K, unknown>): readonly K[] {
  if (before === after) return [];
  return [...before.keys()].filter((id) => !after.has(id));
}
