import type { Candidate, Filter } from './filter.ts';

/** At most so many tasks of the service on one node. */
export const maxReplicasFilter: Filter = {
  applies: (candidate) => maxReplicas(candidate) > 0,
  accepts: (load, candidate) =>
    (load.byService.get(candidate.task.serviceId) ?? 0) < maxReplicas(candidate),
  explain: () => 'max replicas per node limit exceed',
};

function maxReplicas({ spec }: Candidate): number {
  return spec.TaskTemplate?.Placement?.MaxReplicas ?? 0;
}
