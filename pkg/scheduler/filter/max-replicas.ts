import type { Candidate, Filter } from './filter.ts';

/** At most so many tasks of the service on one node. */
export const maxReplicasFilter: Filter = {
  name: 'max-replicas',
  applies: (candidate) => maxReplicas(candidate) > 0,
  accepts: (load, candidate) =>
    (load.byService.get(candidate.task.serviceId) ?? 0) < maxReplicas(candidate),
  explain: () => 'max replicas per node limit exceed',
  remedy: (load, candidate) => {
    const needed = (load.byService.get(candidate.task.serviceId) ?? 0) + 1;
    return { text: `allow ${needed} replicas on one node`, where: 'service', cost: needed };
  },
};

function maxReplicas({ spec }: Candidate): number {
  return spec.TaskTemplate?.Placement?.MaxReplicas ?? 0;
}
