import { claimGeneric, type GenericResource, genericReservations } from '../../model/index.ts';
import type { NodeLoad } from '../node-load.ts';
import { type Filter, onNodes, type Remedy } from './filter.ts';

/** Devices and other generic resources that are reserved are offered and not held by others. */
export const genericResourceFilter: Filter = {
  name: 'generic-resources',
  applies: ({ spec }) => genericReservations(spec).length > 0,
  accepts: (load, { spec }) => offers(load, genericReservations(spec)),
  // SwarmKit says "insufficient resources", which leaves people to look at memory.
  explain: (nodes, { spec }) => {
    const kinds = genericReservations(spec).map(({ kind }) => kind);
    return onNodes(`insufficient ${kinds.join(' or ')}`, nodes);
  },
  remedy: (load, { spec }) => {
    const missing = genericReservations(spec).filter((one) => !offers(load, [one]));
    return missingGeneric(load, missing);
  },
};

function offers(load: NodeLoad, asked: readonly GenericResource[]): boolean {
  const offered = load.node.description?.genericResources ?? [];
  return claimGeneric(offered, load.generic, asked) !== undefined;
}

/** A kind that the node has is taken by others; one that it does not have would have to be offered. */
function missingGeneric(load: NodeLoad, missing: readonly GenericResource[]): Remedy {
  const has = (kind: string): boolean =>
    load.node.description?.genericResources?.some((one) => one.kind === kind) === true;
  const parts = missing.map(({ kind, amount }) =>
    has(kind) ? `free ${amount} ${kind}` : `offer ${amount} ${kind}`,
  );
  const cost = missing.reduce((sum, { kind }) => sum + (has(kind) ? 1 : 2), 0);
  return { text: parts.join(' and '), where: 'node', cost };
}
