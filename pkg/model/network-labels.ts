import type { ServiceSpec } from './service-spec.ts';
import { refuse } from './validate-refuse.ts';

/**
 * How a service wants to be reached, said by labels since Docker's schema has no fields for it. They are labels of the
 * service, so a change restarts nothing; the weight alone is a label of the container, so that tasks of two versions
 * can have different ones.
 */
export interface NetworkWishes {
  /** `client`: connections from one address go to one task. */
  readonly affinity?: 'client' | undefined;
}

const AFFINITY = 'muster.network.affinity';
const WEIGHT = 'muster.network.weight';
const SERVICE_LABELS: ReadonlySet<string> = new Set([AFFINITY]);
const WEIGHT_MAX = 100;

export function networkWishes(spec: ServiceSpec): NetworkWishes {
  return spec.Labels?.[AFFINITY] === 'client' ? { affinity: 'client' } : {};
}

/** Share of new connections that tasks of this spec get, relative to others of the service; undefined: 1. */
export function taskWeight(spec: ServiceSpec): number | undefined {
  const text = spec.TaskTemplate?.ContainerSpec?.Labels?.[WEIGHT];
  return text === undefined ? undefined : Number(text);
}

/** @throws ClusterError `invalid` for a label of ours that is unknown, misplaced or has no meaning */
export function validateNetworkLabels(spec: ServiceSpec): void {
  for (const [name, value] of Object.entries(spec.Labels ?? {})) {
    if (name === WEIGHT) refuse(`label ${WEIGHT} belongs to the container (--container-label)`);
    if (!name.startsWith('muster.network.')) continue;
    if (!SERVICE_LABELS.has(name)) {
      refuse(`unknown label ${name}: known are ${[...SERVICE_LABELS].join(', ')}`);
    }
    if (name === AFFINITY && value !== 'client' && value !== 'none') {
      refuse(`label ${AFFINITY} must be client or none, not ${JSON.stringify(value)}`);
    }
  }
  const weight = taskWeight(spec);
  if (weight === undefined) return;
  if (!Number.isInteger(weight) || weight < 1 || weight > WEIGHT_MAX) {
    refuse(`container label ${WEIGHT} must be a whole number from 1 to ${WEIGHT_MAX}`);
  }
}
