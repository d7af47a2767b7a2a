import type { DockerJson } from './engine.ts';
import { type Filters, flagFilter } from './filters.ts';

type Labels = Readonly<Record<string, string>> | null | undefined;

export const VOLUME_FILTERS = ['dangling', 'driver', 'label', 'name'];

/** Volumes of a host and of the cluster alike; a cluster volume dangles when it is on no node. */
export function matchesVolume(volume: DockerJson, filters: Filters): boolean {
  const dangling = flagFilter(filters, 'dangling');
  return (
    filters.any('name', (value) => String(volume['Name']).includes(value)) &&
    filters.exact('driver', String(volume['Driver'])) &&
    filters.labels('label', volume['Labels'] as Labels) &&
    (dangling === undefined || dangling === isDangling(volume))
  );
}

function isDangling(volume: DockerJson): boolean {
  const cluster = volume['ClusterVolume'] as { readonly PublishStatus?: object } | undefined;
  if (cluster) return cluster.PublishStatus === undefined;
  const usage = volume['UsageData'] as { readonly RefCount?: number } | null | undefined;
  return usage?.RefCount === 0;
}
