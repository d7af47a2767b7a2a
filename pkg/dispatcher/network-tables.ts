import {
  type AppliedChange,
  compareText,
  deriveNetworkTable,
  gatewayAddress,
  type NetworkEndpoint,
  type NetworkId,
  type NetworkTable,
  type NodeId,
  networkTargets,
  peerAddress,
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
  readonly peers: Map<NodeId, string>;
  readonly gateways: Map<NodeId, string>;
  /** When all of it was derived last. */
  readonly whole: NetworkTable;
}

/**
 * The network tables of the cluster. Where only tasks or nodes changed, what is said of those is derived again: a table may
 * have tens of thousands of endpoints, and tasks come and go all the time. Where something else did, the whole table is.
 */
export class NetworkTables {
  readonly #view: View;
  readonly #known = new Map<NetworkId, KnownTable | undefined>();
  readonly #parts = new Map<NetworkId, Parts>();
  /** Tables whose network or services changed, and the tasks that did in the others. */
  #dirty = new Set<NetworkId>();
  #dirtyTasks = new Map<NetworkId, Set<TaskId>>();
  /** Nodes that came, moved or left, for each table that does not say so yet. */
  readonly #dirtyNodes = new Map<NetworkId, Set<NodeId>>();
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
    this.#dirtyNodes.clear();
    this.#allDirty = false;
  }

  /** Nodes came, moved or left: no table may wait for it for long, but many of them may be told together. */
  get nodesDirty(): boolean {
    return this.#dirtyNodes.size > 0;
  }

  /** Take note of which tables a change touches. */
  note(change: AppliedChange): void {
    if (change.kind === 'cluster') this.#allDirty = true;
    if (change.kind === 'node' && movedInNetwork(change)) this.#noteNode(change);
    if (change.kind === 'task') this.#noteTask(change);
    else for (const id of networksTouched(change)) this.#dirty.add(id);
  }

  /** A table that is derived later knows it anyway. */
  #noteNode({ before, after }: Extract<AppliedChange, { kind: 'node' }>): void {
    const node = after ?? before;
    if (node === undefined) return;
    for (const id of this.#known.keys()) {
      const nodes = this.#dirtyNodes.get(id) ?? new Set();
      this.#dirtyNodes.set(id, nodes.add(node.id));
    }
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
    const tasks = this.#dirtyTasks;
    const nodes = this.#dirtyNodes;
    const whole = this.#allDirty ? new Set(this.#known.keys()) : this.#dirty;
    this.#dirty = new Set();
    this.#dirtyTasks = new Map();
    this.#allDirty = false;
    const changed = new Set<NetworkId>();
    for (const id of new Set([...whole, ...tasks.keys(), ...(nodesToo ? nodes.keys() : [])])) {
      const before = this.#known.get(id);
      // Also for tasks alone: what runs on a new node must not be reached through a table that does not know the node.
      const news = { tasks: tasks.get(id) ?? [], nodes: nodes.get(id) ?? [] };
      nodes.delete(id);
      const after = whole.has(id) ? this.#derive(id, before) : this.#update(id, before, news);
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
    if (saysNothing(patch)) return before;
    return { table, content: this.#newContent(), from: { content: before.content, patch } };
  }

  /** Only what is said of these tasks and nodes. */
  #update(
    id: NetworkId,
    before: KnownTable | undefined,
    { tasks, nodes }: { readonly tasks: Iterable<TaskId>; readonly nodes: Iterable<NodeId> },
  ): KnownTable | undefined {
    const parts = this.#parts.get(id);
    if (!before || !parts) return this.#derive(id, before);
    const patch = {
      networkId: id,
      revision: this.#view.index,
      ...this.#endpointNews(id, parts, tasks),
      ...this.#nodeNews(parts, nodes),
    };
    if (saysNothing(patch)) return before;
    const from = { content: before.content, patch };
    return new PatchedTable({ from, content: this.#newContent(), parts });
  }

  #endpointNews(
    id: NetworkId,
    parts: Parts,
    tasks: Iterable<TaskId>,
  ): Pick<NetworkPatch, 'endpoints' | 'removedEndpoints'> {
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
    return { endpoints, removedEndpoints };
  }

  #nodeNews(
    parts: Parts,
    nodes: Iterable<NodeId>,
  ): Pick<NetworkPatch, 'peers' | 'removedPeers' | 'gateways' | 'removedGateways'> {
    const { ingress } = parts.whole;
    const ids = [...nodes].sort();
    const [peers, removedPeers] = replaceAddresses(parts.peers, ids, (nodeId) =>
      peerAddress(this.#view.get('node', nodeId)),
    );
    const [gateways, removedGateways] = replaceAddresses(parts.gateways, ids, (nodeId) =>
      ingress ? gatewayAddress(this.#view.get('node', nodeId)) : undefined,
    );
    return { peers, removedPeers, gateways, removedGateways };
  }

  #newContent(): number {
    this.#contents += 1;
    return this.#contents;
  }
}

/** A table of which only endpoints and nodes changed: put together for those who have to be told all of it, which are few. */
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
    const { whole, endpoints, peers, gateways } = this.#parts;
    this.#table ??= {
      ...whole,
      endpoints: [...endpoints.values()]
        .map(({ endpoint }) => endpoint)
        .toSorted((left, right) => compareText(left.taskId, right.taskId)),
      peers: listed(peers),
      gateways: listed(gateways),
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
  const addresses = (nodes: NetworkTable['peers']): Map<NodeId, string> =>
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

function saysNothing({ networkId: _, revision: __, ...lists }: NetworkPatch): boolean {
  return Object.values(lists).every((list) => list.length === 0);
}

/** What is new of these nodes; `known` says it from then on. */
function replaceAddresses(
  known: Map<NodeId, string>,
  ids: readonly NodeId[],
  addressOf: (id: NodeId) => string | undefined,
): readonly [NetworkTable['peers'], readonly NodeId[]] {
  const found: NetworkTable['peers'][number][] = [];
  const removed: NodeId[] = [];
  for (const nodeId of ids) {
    const address = addressOf(nodeId);
    if (address === undefined) {
      if (known.delete(nodeId)) removed.push(nodeId);
    } else if (known.get(nodeId) !== address) {
      known.set(nodeId, address);
      found.push({ nodeId, address });
    }
  }
  return [found, removed];
}

function listed(nodes: ReadonlyMap<NodeId, string>): NetworkTable['peers'] {
  return [...nodes]
    .map(([nodeId, address]) => ({ nodeId, address }))
    .toSorted((left, right) => compareText(left.nodeId, right.nodeId));
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
