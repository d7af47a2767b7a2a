import {
  type AppliedChange,
  compareText,
  deriveNetworkTable,
  type NetworkEndpoint,
  type NetworkId,
  type NetworkTable,
  type NodeId,
  networkTargets,
  type Service,
  type Task,
  type TaskId,
  taskEndpoint,
  type View,
} from '../model/index.ts';
import type { NetworkPatch } from '../rpc/index.ts';
import { isSameToAgent, type KnownTable } from './assignments.ts';

/** What a table says of one endpoint, and the same as text. */
interface Entry {
  readonly endpoint: NetworkEndpoint;
  readonly text: string;
}

/** A table taken apart, so that two of them can be compared quickly. */
interface Parts {
  /** Everything but the lists and the revision. */
  readonly head: string;
  readonly endpoints: Map<TaskId, Entry>;
  readonly peers: ReadonlyMap<NodeId, string>;
  readonly gateways: ReadonlyMap<NodeId, string>;
  /** When all of it was derived last. */
  readonly whole: NetworkTable;
}

/**
 * The network tables of the cluster. Where only tasks changed, what is said of those is derived again: a table may have
 * tens of thousands of endpoints, and tasks come and go all the time. Where something else did, the whole table is.
 */
export class NetworkTables {
  readonly #view: View;
  readonly #known = new Map<NetworkId, KnownTable | undefined>();
  readonly #parts = new Map<NetworkId, Parts>();
  /** Tables whose network or services changed, and the tasks that did in the others. */
  #dirty = new Set<NetworkId>();
  #dirtyTasks = new Map<NetworkId, Set<TaskId>>();
  #nodesDirty = false;
  #allDirty = false;
  #contents = 0;

  constructor(view: View) {
    this.#view = view;
  }

  /** Forget everything (new leadership, snapshot). */
  reset(): void {
    this.#known.clear();
    this.#parts.clear();
    this.#dirty.clear();
    this.#dirtyTasks.clear();
    this.#nodesDirty = false;
    this.#allDirty = false;
  }

  /** Nodes came, moved or left: no table may wait for it for long, but many of them may be told together. */
  get nodesDirty(): boolean {
    return this.#nodesDirty;
  }

  /** Take note of which tables a change touches. */
  note(change: AppliedChange): void {
    if (change.kind === 'cluster') this.#allDirty = true;
    if (change.kind === 'node' && movedInNetwork(change)) this.#nodesDirty = true;
    if (change.kind === 'task') this.#noteTask(change);
    else for (const id of networksTouched(change)) this.#dirty.add(id);
  }

  #noteTask({ before, after }: Extract<AppliedChange, { kind: 'task' }>): void {
    if (before && after && isSameToAgent(before, after)) return;
    for (const task of [before, after]) {
      for (const { networkId } of task?.networks ?? []) {
        const tasks = this.#dirtyTasks.get(networkId) ?? new Set();
        this.#dirtyTasks.set(networkId, tasks.add((task as Task).id));
      }
    }
  }

  /** Which tables really say something else since the last call. Where only nodes are new: with `nodesToo`. */
  refresh(nodesToo: boolean): ReadonlySet<NetworkId> {
    const all = this.#allDirty || (nodesToo && this.#nodesDirty);
    const tasks = this.#dirtyTasks;
    const whole = new Set(all ? this.#known.keys() : this.#dirty);
    // What runs on a new node must not be reached through a table that does not know the node.
    if (this.#nodesDirty) for (const id of tasks.keys()) whole.add(id);
    this.#dirty = new Set();
    this.#dirtyTasks = new Map();
    if (all) this.#nodesDirty = false;
    this.#allDirty = false;
    const changed = new Set<NetworkId>();
    for (const id of new Set([...whole, ...tasks.keys()])) {
      const before = this.#known.get(id);
      const after = whole.has(id)
        ? this.#derive(id, before)
        : this.#update(id, before, tasks.get(id) ?? new Set());
      this.#known.set(id, after);
      if (after?.content !== before?.content) changed.add(id);
    }
    return changed;
  }

  /** The table as of the last refresh. */
  of(id: NetworkId): KnownTable | undefined {
    if (!this.#known.has(id)) this.#known.set(id, this.#derive(id, undefined));
    return this.#known.get(id);
  }

  #derive(id: NetworkId, before: KnownTable | undefined): KnownTable | undefined {
    const table = deriveNetworkTable(this.#view, id);
    const old = this.#parts.get(id);
    if (!table) {
      this.#parts.delete(id);
      return undefined;
    }
    const parts = partsOf(table);
    this.#parts.set(id, parts);
    if (!before || !old || old.head !== parts.head) return { table, content: this.#newContent() };
    const patch = difference(table, old, parts);
    const { networkId: _, revision: __, ...lists } = patch;
    if (Object.values(lists).every((list) => list.length === 0)) return before;
    return { table, content: this.#newContent(), from: { content: before.content, patch } };
  }

  /** Only what is said of these tasks. */
  #update(
    id: NetworkId,
    before: KnownTable | undefined,
    tasks: ReadonlySet<TaskId>,
  ): KnownTable | undefined {
    const parts = this.#parts.get(id);
    if (!before || !parts) return this.#derive(id, before);
    const endpoints: NetworkEndpoint[] = [];
    const removedEndpoints: TaskId[] = [];
    for (const taskId of [...tasks].sort()) {
      const task = this.#view.get('task', taskId);
      const endpoint = task && taskEndpoint(this.#view, task, id);
      if (endpoint === undefined) {
        if (parts.endpoints.delete(taskId)) removedEndpoints.push(taskId);
        continue;
      }
      const text = JSON.stringify(endpoint);
      if (parts.endpoints.get(taskId)?.text === text) continue;
      parts.endpoints.set(taskId, { endpoint, text });
      endpoints.push(endpoint);
    }
    if (endpoints.length === 0 && removedEndpoints.length === 0) return before;
    const nodes = { peers: [], removedPeers: [], gateways: [], removedGateways: [] };
    const revision = this.#view.index;
    const patch = { networkId: id, revision, endpoints, removedEndpoints, ...nodes };
    const from = { content: before.content, patch };
    return new PatchedTable({ from, content: this.#newContent(), parts });
  }

  #newContent(): number {
    this.#contents += 1;
    return this.#contents;
  }
}

/** A table of which only endpoints changed: put together for those who have to be told all of it, which are few. */
class PatchedTable implements KnownTable {
  readonly content: number;
  readonly from: NonNullable<KnownTable['from']>;
  readonly #parts: Parts;
  #table: NetworkTable | undefined;

  constructor(options: Pick<PatchedTable, 'content' | 'from'> & { readonly parts: Parts }) {
    this.content = options.content;
    this.from = options.from;
    this.#parts = options.parts;
  }

  get table(): NetworkTable {
    const { whole, endpoints } = this.#parts;
    this.#table ??= {
      ...whole,
      endpoints: [...endpoints.values()]
        .map(({ endpoint }) => endpoint)
        .toSorted((left, right) => compareText(left.taskId, right.taskId)),
      revision: this.from.patch.revision,
    };
    return this.#table;
  }
}

function entryOf(endpoint: NetworkEndpoint): Entry {
  return { endpoint, text: JSON.stringify(endpoint) };
}

function partsOf(table: NetworkTable): Parts {
  const lists = { endpoints: [], peers: [], gateways: [] };
  const addresses = (nodes: NetworkTable['peers']): ReadonlyMap<NodeId, string> =>
    new Map(nodes.map(({ nodeId, address }) => [nodeId, address]));
  return {
    head: JSON.stringify({ ...table, ...lists, revision: 0 }),
    endpoints: new Map(table.endpoints.map((one) => [one.taskId, entryOf(one)])),
    whole: table,
    peers: addresses(table.peers),
    gateways: addresses(table.gateways),
  };
}

function difference(table: NetworkTable, before: Parts, after: Parts): NetworkPatch {
  return {
    networkId: table.networkId,
    revision: table.revision,
    endpoints: table.endpoints.filter(
      ({ taskId }) => before.endpoints.get(taskId)?.text !== after.endpoints.get(taskId)?.text,
    ),
    removedEndpoints: gone(before.endpoints, after.endpoints),
    peers: moved(table.peers, before.peers),
    removedPeers: gone(before.peers, after.peers),
    gateways: moved(table.gateways, before.gateways),
    removedGateways: gone(before.gateways, after.gateways),
  };
}

function moved(
  nodes: NetworkTable['peers'],
  before: ReadonlyMap<NodeId, string>,
): NetworkTable['peers'] {
  return nodes.filter(({ nodeId, address }) => before.get(nodeId) !== address);
}

function gone<K>(before: ReadonlyMap<K, unknown>, after: ReadonlyMap<K, unknown>): readonly K[] {
  return [...before.keys()].filter((id) => !after.has(id));
}

function networksTouched(change: AppliedChange): readonly NetworkId[] {
  switch (change.kind) {
    case 'service':
      return [change.before, change.after].flatMap((service) =>
        service ? networksNamed(service) : [],
      );
    case 'attachment':
      return [change.before, change.after].flatMap((one) => one?.networkId ?? []);
    case 'network':
      return [change.before, change.after].flatMap((network) => network?.id ?? []);
    default:
      return [];
  }
}

function networksNamed(service: Service): readonly NetworkId[] {
  return [
    ...service.endpoint.virtualIps.map(({ networkId }) => networkId),
    ...networkTargets(service.spec).map(({ target }) => target as NetworkId),
  ];
}

/** Peers and gateways of every table are the nodes' addresses. */
function movedInNetwork(change: Extract<AppliedChange, { kind: 'node' }>): boolean {
  const { before, after } = change;
  return (
    before?.status.address !== after?.status.address ||
    before?.ingressAddress !== after?.ingressAddress
  );
}
