import { ClusterError } from './error.ts';
import type { ConfigId, NetworkId, SecretId } from './id.ts';
import { networkTargets } from './service.ts';
import type { ServiceSpec } from './service-spec.ts';
import { refuse } from './validate-refuse.ts';
import type { View } from './view.ts';

/** Networks that every host has for itself; a service may name them although the cluster has no object for them. */
export const NODE_LOCAL_NETWORKS: ReadonlySet<string> = new Set(['host', 'bridge', 'none']);

/**
 * Throws `ClusterError` when the spec names a network, secret or config that is not there. Network targets are ids or
 * names; of secrets and configs both id and name must match.
 */
export function checkReferences(view: View, spec: ServiceSpec): void {
  for (const { target } of networkTargets(spec)) checkNetwork(view, target);
  const container = spec.TaskTemplate?.ContainerSpec;
  const secrets = (container?.Secrets ?? []).filter(
    ({ SecretID, SecretName }) =>
      view.get('secret', SecretID as SecretId)?.spec.Name !== SecretName,
  );
  refuseMissing(
    'secret',
    secrets.map(({ SecretName }) => SecretName),
  );
  const configs = (container?.Configs ?? []).filter(
    ({ ConfigID, ConfigName }) =>
      view.get('config', ConfigID as ConfigId)?.spec.Name !== ConfigName,
  );
  refuseMissing(
    'config',
    configs.map(({ ConfigName }) => ConfigName),
  );
}

function checkNetwork(view: View, target: string): void {
  if (NODE_LOCAL_NETWORKS.has(target)) return;
  const network = view.get('network', target as NetworkId) ?? view.byName('network', target);
  if (!network || network.removing) {
    throw new ClusterError('not-found', `network ${target} not found`);
  }
  if (network.spec.Ingress) {
    refuse(`Service cannot be explicitly attached to the ingress network "${network.spec.Name}"`);
  }
}

function refuseMissing(kind: string, names: readonly string[]): void {
  if (names.length === 0) return;
  refuse(`${kind}${names.length === 1 ? '' : 's'} not found: ${names.join(', ')}`);
}
