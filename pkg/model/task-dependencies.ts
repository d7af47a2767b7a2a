import { compareText } from './id.ts';
import { endpointMode, networkTargets, portsAsked } from './service.ts';
import { FENCE_LABEL } from './service-policy.ts';
import type { ServiceSpec } from './service-spec.ts';

/**
 * A value as text that is equal when it means the same: keys sorted, and what is absent, null or an empty list or
 * map left out.
 */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(canonical(value)) ?? 'null';
}

/** Would a task made from `before` have to be replaced to match `after`? Labels, replicas and policies do not count. */
export function taskSpecChanged(before: ServiceSpec, after: ServiceSpec): boolean {
  if (before === after || sameText(before, after)) return false;
  return taskDependencies(before) !== taskDependencies(after);
}

/** The cheap way to find that nothing changed: the parts that count are the same text. */
function sameText(before: ServiceSpec, after: ServiceSpec): boolean {
  return (
    before.Labels?.[FENCE_LABEL] === after.Labels?.[FENCE_LABEL] &&
    JSON.stringify(before.TaskTemplate) === JSON.stringify(after.TaskTemplate) &&
    JSON.stringify(before.EndpointSpec) === JSON.stringify(after.EndpointSpec) &&
    JSON.stringify(before.Networks) === JSON.stringify(after.Networks)
  );
}

/** True when the specs' tasks differ in nothing but the placement constraints. */
export function onlyConstraintsChanged(before: ServiceSpec, after: ServiceSpec): boolean {
  return (
    taskDependencies(withoutConstraints(before)) === taskDependencies(withoutConstraints(after))
  );
}

function taskDependencies(spec: ServiceSpec): string {
  const {
    Networks: _networks,
    Runtime: runtime,
    ForceUpdate: force,
    ...template
  } = spec.TaskTemplate ?? {};
  return canonicalJson({
    template,
    runtime: runtime || 'container',
    force: force ?? 0,
    networks: networkTargets(spec),
    mode: endpointMode(spec),
    ports: portsAsked(spec),
    fence: spec.Labels?.[FENCE_LABEL] ?? '',
  });
}

function withoutConstraints(spec: ServiceSpec): ServiceSpec {
  if (!spec.TaskTemplate?.Placement?.Constraints) return spec;
  const { Constraints: _constraints, ...Placement } = spec.TaskTemplate.Placement;
  return { ...spec, TaskTemplate: { ...spec.TaskTemplate, Placement } };
}

function canonical(value: unknown): unknown {
  if (value === null || value === undefined) return undefined;
  if (Array.isArray(value)) {
    return value.length === 0 ? undefined : value.map((item) => canonical(item) ?? null);
  }
  if (typeof value !== 'object') return value;
  const entries = Object.entries(value)
    .map(([key, item]): [string, unknown] => [key, canonical(item)])
    .filter(([, item]) => item !== undefined)
    .toSorted(([left], [right]) => compareText(left, right));
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}
