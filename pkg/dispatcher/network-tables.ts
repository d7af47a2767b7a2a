import {
  type AppliedChange,
  deriveNetworkTable,
  type NetworkId,
  type NetworkTable,
  type NodeId,
  networkTargets,
  type Service,
  type TaskId,
  type View,
} from '../model/index.ts';
import type { NetworkPatch } from '../rpc/index.ts';
import { isSameToAgent, type KnownTable } from './assignments.ts';

/** A table taken apart, so that two of them can be compared quickly. */
interface Parts {
  /** Everything but the lists and the revision. */
  readonly head: string;
  readonly endpoints: ReadonlyMap<TaskId, string>;
  readonly peers: ReadonlyMap<NodeId, string>;
  readonly gateways: ReadonlyMap<NodeId, string>;
}

/** The network tables of the cluster, derived again only when something they say may have changed. */
export class NetworkTables {
  readonly #view: View;
  readonly #known = new Map<NetworkId, KnownTable | undefined>();
  readonly #parts = new Map<NetworkId, Parts>();
  #dirty = new Set<NetworkId>();
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
    for (const id of networksTouched(change)) this.#dirty.add(id);
  }

  /** Which tables really say something else since the last call. Where only nodes are new: with `nodesToo`. */
  refresh(nodesToo: boolean): ReadonlySet<NetworkId> {
    const all = this.#allDirty || (nodesToo && this.#nodesDirty);
    const candidates = all ? [...this.#known.keys()] : [...this.#dirty];
    this.#dirty = new Set();
    if (all) this.#nodesDirty = false;
    this.#allDirty = false;
    const changed = new Set<NetworkId>();
    for (const id of candidates) {
      const before = this.#known.get(id);
      const after = this.#derive(id, before);
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

  #newContent(): number {
    this.#contents += 1;
    return this.#contents;
  }
}

function partsOf(table: NetworkTable): Parts {
  const lists = { endpoints: [], peers: [], gateways: [] };
  const addresses = (nodes: NetworkTable['peers']): ReadonlyMap<NodeId, string> =>
    new Map(nodes.map(({ nodeId, address }) => [nodeId, address]));
  return {
    head: JSON.stringify({ ...table, ...lists, revision: 0 }),
    endpoints: new Map(table.endpoints.map((one) => [one.taskId, JSON.stringify(one)])),
    peers: addresses(table.peers),
    gateways: addresses(table.gateways),
  };
}

function difference(table: NetworkTable, before: Parts, after: Parts): NetworkPatch {
  return {
    networkId: table.networkId,
    revision: table.revision,
    endpoints: table.endpoints.filter(
      ({ taskId }) => before.endpoints.get(taskId) !== after.endpoints.get(taskId),
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

function gone<K>(before: ReadonlyMap<K, string>, after: ReadonlyMap<K, string>): readonly K[] {
  return [...before.keys()].filter((id) => !after.has(id));
}

function networksTouched(change: AppliedChange): readonly NetworkId[] {
  switch (change.kind) {
    case 'task':
      if (change.before && change.after && isSameToAgent(change.before, change.after)) return [];
      return [change.before, change.after].flatMap((task) =>
        (task?.networks ?? []).map(({ networkId }) => networkId),
      );
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
