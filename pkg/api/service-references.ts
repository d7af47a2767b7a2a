import type { ConfigId, NetworkTargetSpec, SecretId, ServiceSpec, View } from '../model/index.ts';
import { controlError, notFound } from './failure.ts';
import { findNetwork } from './lookup.ts';

/** Networks every host has by itself; a task asks for them by name. */
export const HOST_NETWORKS: readonly string[] = ['host', 'none', 'bridge'];

/** The spec with network names replaced by ids; throws for a network, secret or config that does not exist. */
export function resolveReferences(view: View, spec: ServiceSpec): ServiceSpec {
  checkSecrets(view, spec);
  checkConfigs(view, spec);
  const template = spec.TaskTemplate;
  return {
    ...spec,
    ...(template?.Networks && {
      TaskTemplate: { ...template, Networks: resolveTargets(view, template.Networks) },
    }),
    ...(spec.Networks && { Networks: resolveTargets(view, spec.Networks) }),
  };
}

function resolveTargets(
  view: View,
  targets: readonly NetworkTargetSpec[],
): readonly NetworkTargetSpec[] {
  return targets.map((target) => ({ ...target, Target: networkId(view, target.Target ?? '') }));
}

function networkId(view: View, asked: string): string {
  if (HOST_NETWORKS.includes(asked)) return asked;
  if (asked === '') throw notFound('network', asked);
  const network = findNetwork(view, asked);
  if (network.spec.Ingress) {
    const text = `Service cannot be explicitly attached to the ingress network "${network.spec.Name}"`;
    throw controlError('InvalidArgument', text);
  }
  return network.id;
}

function checkSecrets(view: View, spec: ServiceSpec): void {
  const missing = (spec.TaskTemplate?.ContainerSpec?.Secrets ?? []).filter(
    ({ SecretID, SecretName }) =>
      view.get('secret', SecretID as SecretId)?.spec.Name !== SecretName,
  );
  refuseMissing(
    'secret',
    missing.map(({ SecretName }) => SecretName),
  );
}

function checkConfigs(view: View, spec: ServiceSpec): void {
  const missing = (spec.TaskTemplate?.ContainerSpec?.Configs ?? []).filter(
    ({ ConfigID, ConfigName }) =>
      view.get('config', ConfigID as ConfigId)?.spec.Name !== ConfigName,
  );
  refuseMissing(
    'config',
    missing.map(({ ConfigName }) => ConfigName),
  );
}

function refuseMissing(kind: string, names: readonly string[]): void {
  if (names.length === 0) return;
  const text = `${kind}${names.length > 1 ? 's' : ''} not found: ${names.join(', ')}`;
  throw controlError('InvalidArgument', text);
}
