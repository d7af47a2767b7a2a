import { compareText, type NetworkEndpoint, type NetworkTable } from '../model/index.ts';
import { type Backends, slotsOf } from './backends.ts';
import { isSameList } from './same-list.ts';

/** An endpoint as it was and as it is; one side is absent when it came or went. */
export interface EndpointChange {
  readonly before?: NetworkEndpoint | undefined;
  readonly after?: NetworkEndpoint | undefined;
}

/**
 * The endpoints of one network as told last. Finds what a new table changes by looking once at each endpoint, and
 * keeps the backends of every service, so that what follows grows with the change and not with the network.
 */
export class EndpointMemory {
  #last: readonly NetworkEndpoint[] = [];
  readonly #known = new Map<string, NetworkEndpoint>();
  readonly #ofService = new Map<string, Set<string>>();
  /** By address: one, or for a moment the one that leaves it and the one that gets it. */
  readonly #holders = new Map<string, readonly NetworkEndpoint[]>();
  readonly #backends = new Map<string, readonly string[]>();

  /** The same array until an endpoint of the service changes. */
  get backends(): Backends {
    return this.#backends;
  }

  /** The endpoints that have the address, in the order of a table. */
  holdersOf(address: string): readonly NetworkEndpoint[] {
    return this.#holders.get(address) ?? [];
  }

  /** Takes the endpoints over. Equal ones are no change, whether they are the same object or not. */
  update(endpoints: readonly NetworkEndpoint[]): readonly EndpointChange[] {
    const { before, after } = different(this.#last, endpoints);
    this.#last = endpoints;
    const changes: EndpointChange[] = [];
    for (const endpoint of after) {
      const known = this.#known.get(endpoint.taskId);
      this.#known.set(endpoint.taskId, endpoint);
      if (known === undefined || !isSame(known, endpoint)) {
        changes.push({ before: known, after: endpoint });
      }
    }
    const kept = new Set<string>(after.map(({ taskId }) => taskId));
    for (const endpoint of before) {
      if (kept.has(endpoint.taskId)) continue;
      this.#known.delete(endpoint.taskId);
      changes.push({ before: endpoint });
    }
    for (const change of changes) this.#group(change);
    const sides = changes.flatMap((change) => [change.before, change.after]);
    for (const id of new Set(sides.flatMap((one) => one?.serviceId ?? []))) this.#sum(id);
    return changes;
  }

  #group({ before, after }: EndpointChange): void {
    if (before) this.#unhold(before);
    if (after) this.#hold(after);
    if (before) this.#ofService.get(before.serviceId)?.delete(before.taskId);
    if (!after) return;
    const tasks = this.#ofService.get(after.serviceId);
    if (tasks) tasks.add(after.taskId);
    else this.#ofService.set(after.serviceId, new Set([after.taskId]));
  }

  #hold(endpoint: NetworkEndpoint): void {
    for (const address of endpoint.addresses) {
      const all = [...this.holdersOf(address), endpoint];
      all.sort((left, right) => compareText(left.taskId, right.taskId));
      this.#holders.set(address, all);
    }
  }

  #unhold({ taskId, addresses }: NetworkEndpoint): void {
    for (const address of addresses) {
      const others = this.holdersOf(address).filter((one) => one.taskId !== taskId);
      if (others.length > 0) this.#holders.set(address, others);
      else this.#holders.delete(address);
    }
  }

  #sum(serviceId: string): void {
    const tasks = this.#ofService.get(serviceId);
    if (!tasks || tasks.size === 0) {
      this.#ofService.delete(serviceId);
      this.#backends.delete(serviceId);
      return;
    }
    const endpoints = [...tasks].flatMap((id) => this.#known.get(id) ?? []);
    this.#backends.set(serviceId, slotsOf(endpoints));
  }
}

/** Both lists without the same objects that they begin and end with: what a patch left alone. */
function different(
  left: readonly NetworkEndpoint[],
  right: readonly NetworkEndpoint[],
): { readonly before: readonly NetworkEndpoint[]; readonly after: readonly NetworkEndpoint[] } {
  const shorter = Math.min(left.length, right.length);
  let first = 0;
  while (first < shorter && left[first] === right[first]) first++;
  let last = 0;
  const room = shorter - first;
  while (last < room && left[left.length - 1 - last] === right[right.length - 1 - last]) last++;
  return {
    before: left.slice(first, left.length - last),
    after: right.slice(first, right.length - last),
  };
}

function isSame(left: NetworkEndpoint, right: NetworkEndpoint): boolean {
  return (
    left.state === right.state &&
    left.weight === right.weight &&
    left.nodeId === right.nodeId &&
    left.serviceId === right.serviceId &&
    left.name === right.name &&
    left.slotName === right.slotName &&
    left.serviceName === right.serviceName &&
    isSameList(left.addresses, right.addresses) &&
    isSameList(left.aliases, right.aliases)
  );
}

/** Whether everything of a table is the same but endpoints, services and the revision, which grows with other changes. */
export function isSameHead(left: NetworkTable, right: NetworkTable): boolean {
  const { endpoints: _, services: __, revision: ___, ...one } = left;
  const { endpoints: ____, services: _____, revision: ______, ...other } = right;
  // Most are the same objects, with a thousand nodes in them.
  const isSamePart = (key: keyof typeof one): boolean =>
    one[key] === other[key] || JSON.stringify(one[key]) === JSON.stringify(other[key]);
  const keys = Object.keys({ ...one, ...other }) as (keyof typeof one)[];
  return keys.every(isSamePart);
}
