import { type Candidate, type Filter, onNodes } from './filter.ts';

/** What is reserved fits beside what others reserved. Limits do not count, nor what is really used. */
export const resourceFilter: Filter = {
  applies: (candidate) => {
    const { nanoCpus, memoryBytes, generic } = reservation(candidate);
    return nanoCpus > 0 || memoryBytes > 0 || generic > 0;
  },
  accepts: (load, candidate) => {
    const { nanoCpus, memoryBytes, generic } = reservation(candidate);
    const cpus = (load.node.description?.nanoCpus ?? 0) - load.nanoCpus;
    const memory = (load.node.description?.memoryBytes ?? 0) - load.memoryBytes;
    // No node offers generic resources: a task that reserves one fits nowhere.
    return nanoCpus <= cpus && memoryBytes <= memory && generic === 0;
  },
  explain: (nodes) => onNodes('insufficient resources', nodes),
};

function reservation({ spec }: Candidate): {
  readonly nanoCpus: number;
  readonly memoryBytes: number;
  readonly generic: number;
} {
  const reserved = spec.TaskTemplate?.Resources?.Reservations;
  return {
    nanoCpus: reserved?.NanoCPUs ?? 0,
    memoryBytes: reserved?.MemoryBytes ?? 0,
    generic: reserved?.GenericResources?.length ?? 0,
  };
}
