import {
  type AppliedChange,
  deriveNetworkTable,
  type NetworkId,
  type NetworkTable,
  networkTargets,
  type Service,
  type TaskId,
  type View,
} from '../model/index.ts';
import type { NetworkPatch } from '../rpc/index.ts';
import { isSameToAgent, type KnownTable } from './assignments.ts';

/** A table taken apart, so that two of them can be compared quickly. */
interface Parts {
  /** Everything but endpoints and revision. */
  readonly head: string;
  readonly endpoints: ReadonlyMap<TaskId, string>;
}

/** The network tables of the cluster, derived again only when something they say may have changed. */
export class NetworkTables {
  readonly #view: View;
  readonly #known = new Map<NetworkId, KnownTable | undefined>();
  readonly #parts = new Map<NetworkId, Parts>();
  #dirty = new Set<NetworkId>();
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
    this.#allDirty = false;
  }

  /** Take note of which tables a change touches. */
  note(change: AppliedChange): void {
    if (change.kind === 'cluster' || (change.kind === 'node' && movedInNetwork(change))) {
      this.#allDirty = true;
    }
    for (const id of networksTouched(change)) this.#dirty.add(id);
  }

  /** Which tables really say something else since the last call. */
  refresh(): ReadonlySet<NetworkId> {
    const candidates = this.#allDirty ? [...this.#known.keys()] : [...this.#dirty];
    this.#dirty = new Set();
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
    if (patch.endpoints.length === 0 && patch.removedEndpoints.length === 0) return before;
    return { table, content: this.#newContent(), from: { content: before.content, patch } };
  }

  #newContent(): number {
    this.#contents += 1;
    return this.#contents;
  }
}

function partsOf(table: NetworkTable): Parts {
  return {
    head: JSON.stringify({ ...table, endpoints: [], revision: 0 }),
    endpoints: new Map(table.endpoints.map((one) => [one.taskId, JSON.stringify(one)])),
  };
}

function difference(table: NetworkTable, before: Parts, after: Parts): NetworkPatch {
  return {
    networkId: table.networkId,
    revision: table.revision,
    endpoints: table.endpoints.filter(
      ({ taskId }) => before.endpoints.get(taskId) !== after.endpoints.get(taskId),
    ),
    removedEndpoints: [...before.endpoints.keys()].filter((id) => !after.endpoints.has(id)),
  };
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
