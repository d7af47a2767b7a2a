import { ClusterError, NODE_LOCAL_NETWORKS } from '../model/index.ts';
import type { DockerJson } from './engine.ts';
import { invalid } from './failure.ts';
import type { Filters } from './filters.ts';

export const NETWORK_FILTERS = ['driver', 'id', 'label', 'name', 'scope', 'type', 'dangling'];

/** Filters over the rendered Network, the same for this host's and the cluster's. `name` and `id` match anywhere. */
export function matchesNetwork(network: DockerJson, filters: Filters): boolean {
  const { Name, Id, Driver, Scope } = network as Readonly<Record<string, string | undefined>>;
  const labels = network['Labels'] as Readonly<Record<string, string>> | null | undefined;
  const builtin = NODE_LOCAL_NETWORKS.has(Name ?? '') || network['Ingress'] === true;
  return (
    filters.exact('driver', Driver) &&
    filters.exact('scope', Scope) &&
    filters.exact('type', builtin ? 'builtin' : 'custom') &&
    filters.any('id', (value) => Id?.includes(value) === true) &&
    filters.any('name', (value) => Name?.includes(value) === true) &&
    filters.labels('label', labels)
  );
}

export function checkNetworkName(name: string | undefined): void {
  if (!name?.trim()) throw invalid('network name cannot be empty');
  if (NODE_LOCAL_NETWORKS.has(name)) {
    const text = `operation is not permitted on predefined ${name} network`;
    throw new ClusterError('forbidden', text);
  }
}
