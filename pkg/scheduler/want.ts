import {
  type ServiceId,
  type ServicePolicy,
  type ServiceSpec,
  servicePolicy,
  type Task,
  type View,
} from '../model/index.ts';
import { type Demand, demandOf } from './node-load.ts';

/** What a task is made from, and what it takes; read once per service version. */
export interface Want {
  readonly spec: ServiceSpec;
  readonly policy: ServicePolicy;
  readonly demand: Demand;
}

/** Reads what tasks are made from; remembers it as long as it lives. */
export function wantReader(view: View): (task: Task) => Want | undefined {
  const known = new Map<ServiceId, Map<number, Want | undefined>>();
  // Tasks of one service mostly come in a row.
  let last: Task | undefined;
  let lastWant: Want | undefined;
  return (task) => {
    const { serviceId, specVersion } = task;
    if (last?.serviceId === serviceId && last.specVersion === specVersion) return lastWant;
    const versions = known.get(serviceId) ?? new Map<number, Want | undefined>();
    known.set(serviceId, versions);
    if (!versions.has(specVersion)) {
      versions.set(specVersion, readWant(view, serviceId, specVersion));
    }
    last = task;
    lastWant = versions.get(specVersion);
    return lastWant;
  };
}

function readWant(view: View, serviceId: ServiceId, specVersion: number): Want | undefined {
  const revision = view.revision(serviceId, specVersion);
  const present = view.get('service', serviceId)?.spec;
  const spec = revision?.spec ?? present;
  // Labels are no part of what a task is made of: the present ones count for all versions.
  return spec && { spec, policy: servicePolicy(present ?? spec), demand: demandOf(spec) };
}
