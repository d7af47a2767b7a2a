import type { AppliedChange } from '../model/index.ts';
import { serviceMode } from '../model/index.ts';
import type { Batch } from '../store/index.ts';
import type { ClusterStore } from './cluster-api.ts';
import type { EngineEvent } from './engine.ts';
import { nodeName } from './lookup.ts';

/** As many past events as dockerd keeps. */
const KEPT_EVENTS_MAX = 256;
const NANOS_PER_MS = 1_000_000n;

/** The store's changes as Docker events: a bounded past, and listeners for what comes. */
export class ClusterEvents {
  readonly #kept: EngineEvent[] = [];
  readonly #listeners = new Set<(event: EngineEvent) => void>();

  constructor(store: ClusterStore) {
    store.watch((batch) => this.#take(batch));
  }

  since(timeNs: bigint): readonly EngineEvent[] {
    return this.#kept.filter((event) => event.timeNs >= timeNs);
  }

  listen(listener: (event: EngineEvent) => void, signal: AbortSignal): void {
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => this.#listeners.delete(listener), { once: true });
  }

  #take(batch: Batch): void {
    for (const change of batch.changes) {
      const event = clusterEvent(change, BigInt(batch.now) * NANOS_PER_MS);
      if (!event) continue;
      this.#kept.push(event);
      if (this.#kept.length > KEPT_EVENTS_MAX) this.#kept.shift();
      for (const listener of this.#listeners) listener(event);
    }
  }
}

type Described = { readonly id: string; readonly attributes: Readonly<Record<string, string>> };

/** Status writes and internal kinds (tasks, revisions) are no events; undefined for them. */
export function clusterEvent(change: AppliedChange, timeNs: bigint): EngineEvent | undefined {
  const described = describe(change);
  if (!described) return undefined;
  return {
    Type: change.kind,
    Action: change.action,
    Actor: { ID: described.id, Attributes: described.attributes },
    scope: 'swarm',
    timeNs,
  };
}

function describe(change: AppliedChange): Described | undefined {
  if (change.kind === 'service') return describeService(change);
  if (change.kind === 'node') return describeNode(change);
  if (change.kind !== 'network' && change.kind !== 'secret' && change.kind !== 'config') {
    return undefined;
  }
  const object = change.after ?? change.before;
  if (!object || (change.before && change.before.spec === change.after?.spec)) return undefined;
  return { id: object.id, attributes: { name: object.spec.Name } };
}

type ChangeOf<K> = Extract<AppliedChange, { readonly kind: K }>;

function describeService({ before, after }: ChangeOf<'service'>): Described | undefined {
  const object = after ?? before;
  if (!object) return undefined;
  const name = object.spec.Name ?? '';
  if (!before || !after) return { id: object.id, attributes: { name } };
  const moved = {
    ...differing('updatestate', before.updateStatus?.state, after.updateStatus?.state),
    ...differing('replicas', replicas(before.spec), replicas(after.spec)),
    ...differing('image', imageOf(before.spec), imageOf(after.spec)),
  };
  const changed = before.spec !== after.spec || Object.keys(moved).length > 0;
  return changed ? { id: object.id, attributes: { name, ...moved } } : undefined;
}

function describeNode({ before, after }: ChangeOf<'node'>): Described | undefined {
  const object = after ?? before;
  if (!object) return undefined;
  const name = nodeName(object);
  if (!before || !after) return { id: object.id, attributes: { name } };
  const moved = {
    ...differing('state', before.status.state, after.status.state),
    ...differing('availability', before.spec.Availability, after.spec.Availability),
    ...differing('role', before.spec.Role, after.spec.Role),
  };
  const changed = before.spec !== after.spec || Object.keys(moved).length > 0;
  return changed ? { id: object.id, attributes: { name, ...moved } } : undefined;
}

function differing(
  key: string,
  before: string | undefined,
  after: string | undefined,
): Readonly<Record<string, string>> {
  if (before === after) return {};
  return { [`${key}.old`]: before ?? '', [`${key}.new`]: after ?? '' };
}

type Spec = NonNullable<ChangeOf<'service'>['after']>['spec'];

function replicas(spec: Spec): string | undefined {
  const mode = serviceMode(spec);
  return mode.kind === 'replicated' ? String(mode.replicas) : undefined;
}

function imageOf(spec: Spec): string {
  return spec.TaskTemplate?.ContainerSpec?.Image ?? '';
}
