import { type Candidate, type Filter, onNodes } from './filter.ts';

/** CPU and memory that are reserved fit beside what others reserved. Limits do not count, nor what is really used. */
export const resourceFilter: Filter = {
  name: 'resources',
  applies: (candidate) => {
    const { nanoCpus, memoryBytes } = reservation(candidate);
    return nanoCpus > 0 || memoryBytes > 0;
  },
  accepts: (load, candidate) => {
    const { nanoCpus, memoryBytes } = reservation(candidate);
    const cpus = (load.node.description?.nanoCpus ?? 0) - load.nanoCpus;
    const memory = (load.node.description?.memoryBytes ?? 0) - load.memoryBytes;
    return nanoCpus <= cpus && memoryBytes <= memory;
  },
  explain: (nodes) => onNodes('insufficient resources', nodes),
  remedy: (load, candidate) => {
    const { nanoCpus, memoryBytes } = reservation(candidate);
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
} {
  const reserved = spec.TaskTemplate?.Resources?.Reservations;
  return { nanoCpus: reserved?.NanoCPUs ?? 0, memoryBytes: reserved?.MemoryBytes ?? 0 };
}
