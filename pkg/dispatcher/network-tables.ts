import {
  type AppliedChange,
  deriveNetworkTable,
  type NetworkId,
  networkTargets,
  type Service,
  type View,
} from '../model/index.ts';
import { isSameToAgent, type KnownTable } from './assignments.ts';

/** The network tables of the cluster, derived again only when something they say may have changed. */
export class NetworkTables {
  readonly #view: View;
  readonly #known = new Map<NetworkId, KnownTable | undefined>();
  #dirty = new Set<NetworkId>();
  #allDirty = false;

  constructor(view: View) {
    this.#view = view;
  }

  /** Forget everything (new leadership, snapshot). */
  reset(): void {
    this.#known.clear();
    this.#dirty.clear();
    this.#allDirty = true;
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
    const candidates = this.#allDirty ? new Set(this.#known.keys()) : this.#dirty;
    this.#dirty = new Set();
    this.#allDirty = false;
    const changed = new Set<NetworkId>();
    for (const id of candidates) {
      const before = this.#known.get(id)?.fingerprint;
      this.#known.delete(id);
      if (this.of(id)?.fingerprint !== before) changed.add(id);
    }
    return changed;
  }

  /** The table as of the last refresh. */
  of(id: NetworkId): KnownTable | undefined {
    if (this.#known.has(id)) return this.#known.get(id);
    const table = deriveNetworkTable(this.#view, id);
    const known = table && { table, fingerprint: JSON.stringify({ ...table, revision: 0 }) };
    this.#known.set(id, known);
    return known;
  }
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
