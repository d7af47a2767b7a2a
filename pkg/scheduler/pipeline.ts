import { explainRefusal } from './explain.ts';
import { constraintFilter } from './filter/constraint.ts';
import type { Candidate, Filter } from './filter/filter.ts';
import { genericResourceFilter } from './filter/generic-resource.ts';
import { hostPortFilter } from './filter/host-port.ts';
import { maxReplicasFilter } from './filter/max-replicas.ts';
import { platformFilter } from './filter/platform.ts';
import { pluginFilter } from './filter/plugin.ts';
import { readyFilter } from './filter/ready.ts';
import { resourceFilter } from './filter/resource.ts';
import { volumeFilter } from './filter/volume.ts';
import type { NodeLoad } from './node-load.ts';

/** In the order in which a node is asked; the first that refuses is the reason. */
const FILTERS: readonly Filter[] = [
  readyFilter,
  resourceFilter,
  genericResourceFilter,
  pluginFilter,
  constraintFilter,
  platformFilter,
  hostPortFilter,
  maxReplicasFilter,
  volumeFilter,
];

/** The filters that matter for one candidate. */
export class Pipeline {
  readonly #candidate: Candidate;
  readonly #filters: readonly Filter[];

  constructor(candidate: Candidate) {
    this.#candidate = candidate;
    this.#filters = FILTERS.filter((filter) => filter.applies(candidate));
  }

  accepts(load: NodeLoad): boolean {
    return this.#refusing(load) === undefined;
  }

  /** Why none of the nodes will do, as they are now. */
  explain(loads: Iterable<NodeLoad>): string {
    const refusals = new Map<Filter, number>();
    for (const load of loads) {
      const filter = this.#refusing(load);
      if (filter) refusals.set(filter, (refusals.get(filter) ?? 0) + 1);
    }
    return explainRefusal(this.#filters, refusals, this.#candidate);
  }

  /** Every filter that refuses the node, in the order they are asked. */
  allRefusing(load: NodeLoad): readonly Filter[] {
    return this.#filters.filter((filter) => !filter.accepts(load, this.#candidate));
  }

  #refusing(load: NodeLoad): Filter | undefined {
    return this.#filters.find((filter) => !filter.accepts(load, this.#candidate));
  }
}
