import { claimGeneric, type GenericResource, genericReservations } from '../../model/index.ts';
import type { NodeLoad } from '../node-load.ts';
import { type Candidate, type Filter, onNodes, type Remedy } from './filter.ts';

/** What is reserved fits beside what others reserved. Limits do not count, nor what is really used. */
export const resourceFilter: Filter = {
  name: 'resources',
  applies: (candidate) => {
    const { nanoCpus, memoryBytes, generic } = reservation(candidate);
    return nanoCpus > 0 || memoryBytes > 0 || generic.length > 0;
  },
  accepts: (load, candidate) => {
    const { nanoCpus, memoryBytes, generic } = reservation(candidate);
    const cpus = (load.node.description?.nanoCpus ?? 0) - load.nanoCpus;
    const memory = (load.node.description?.memoryBytes ?? 0) - load.memoryBytes;
    return nanoCpus <= cpus && memoryBytes <= memory && offers(load, generic);
  },
  explain: (nodes) => onNodes('insufficient resources', nodes),
  remedy: (load, candidate) => {
    const { nanoCpus, memoryBytes, generic } = reservation(candidate);
    const missing = generic.filter((one) => !offers(load, [one]));
    if (missing.length > 0) return missingGeneric(load, missing);
    const cpus = nanoCpus + load.nanoCpus - (load.node.description?.nanoCpus ?? 0);
    const memory = memoryBytes + load.memoryBytes - (load.node.description?.memoryBytes ?? 0);
    const less = [
      ...(memory > 0 ? [`${mebibytes(memory)} MiB less memory`] : []),
      ...(cpus > 0 ? [`${hundredths(cpus)} less CPU`] : []),
    ];
    // As shares of what is asked for, so that memory and processors compare.
    const cost = Math.max(0, memory) / (memoryBytes || 1) + Math.max(0, cpus) / (nanoCpus || 1);
    return { text: `reserve ${less.join(' and ')}`, where: 'service', cost };
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

/** Rounded up: it has to be enough. */
function mebibytes(bytes: number): number {
  return Math.ceil(bytes / 2 ** 20);
}

function hundredths(nanoCpus: number): number {
  return Math.ceil(nanoCpus / 1e7) / 100;
}

function reservation({ spec }: Candidate): {
  readonly nanoCpus: number;
  readonly memoryBytes: number;
  readonly generic: readonly GenericResource[];
} {
  const reserved = spec.TaskTemplate?.Resources?.Reservations;
  return {
    nanoCpus: reserved?.NanoCPUs ?? 0,
    memoryBytes: reserved?.MemoryBytes ?? 0,
    generic: genericReservations(spec),
  };
}
