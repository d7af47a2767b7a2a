import {
  checkReferences,
  type NetworkTargetSpec,
  NODE_LOCAL_NETWORKS,
  type ServiceSpec,
  type View,
} from '../model/index.ts';
import { findNetwork } from './lookup.ts';

/** The spec with network names replaced by ids; throws for a network, secret or config that does not exist. */
export function resolveReferences(view: View, spec: ServiceSpec): ServiceSpec {
  const template = spec.TaskTemplate;
  const resolved: ServiceSpec = {
    ...spec,
    ...(template?.Networks && {
      TaskTemplate: { ...template, Networks: resolveTargets(view, template.Networks) },
    }),
    ...(spec.Networks && { Networks: resolveTargets(view, spec.Networks) }),
  };
  checkReferences(view, resolved);
  return resolved;
}

function resolveTargets(
  view: View,
  targets: readonly NetworkTargetSpec[],
): readonly NetworkTargetSpec[] {
  return targets.map((target) => ({ ...target, Target: networkId(view, target.Target ?? '') }));
}

function networkId(view: View, asked: string): string {
  return NODE_LOCAL_NETWORKS.has(asked) ? asked : findNetwork(view, asked).id;
}
