import type { Candidate, Filter } from './filter/filter.ts';

/** Docker's sentence for a task that fits nowhere; what stops most nodes comes first. */
export function explainRefusal(
  filters: readonly Filter[],
  refusals: ReadonlyMap<Filter, number>,
  candidate: Candidate,
): string {
  const reasons = filters
    .map((filter) => ({ filter, nodes: refusals.get(filter) ?? 0 }))
    .filter(({ nodes }) => nodes > 0)
    .toSorted((left, right) => right.nodes - left.nodes)
    .map(({ filter, nodes }) => filter.explain(nodes, candidate));
  return reasons.length === 0 ? 'no suitable node' : `no suitable node (${reasons.join('; ')})`;
}
