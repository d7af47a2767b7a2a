import { type Change, createObject, updateObject } from './change.ts';
import { ClusterError } from './error.ts';
import { type InstantMs, revisionId, type ServiceId, VERSION_NONE } from './id.ts';
import { type RegistryCredentials, type Revision, type Service, serviceMode } from './service.ts';
import type { ServiceSpec } from './service-spec.ts';
import { canonicalJson } from './task-dependencies.ts';

/** A service as it shall be, and the writes that make it so; no writes when nothing changes. */
export interface ServiceChange {
  readonly service: Service;
  readonly changes: readonly Change[];
}

/** A new service of version 1 with its first revision. `spec` has been validated. */
export function createService(
  id: ServiceId,
  spec: ServiceSpec,
  now: InstantMs,
  registryAuth?: RegistryCredentials,
): ServiceChange {
  const service: Service = {
    id,
    version: VERSION_NONE,
    createdAt: now,
    updatedAt: now,
    spec,
    specVersion: 1,
    endpoint: { ports: [], virtualIps: [] },
    jobIteration: isJob(spec) ? 0 : undefined,
    registryAuth,
  };
  const changes = [createObject('service', service), newServiceRevision(service, now)];
  return { service, changes };
}

/** The write that keeps the service's present spec as the object its tasks refer to. */
export function newServiceRevision(service: Service, now: InstantMs): Change {
  const revision: Revision = {
    id: revisionId(service.id, service.specVersion),
    version: VERSION_NONE,
    createdAt: now,
    updatedAt: now,
    serviceId: service.id,
    specVersion: service.specVersion,
    spec: service.spec,
  };
  return createObject('revision', revision);
}

/**
 * The service with `spec` accepted: one version further, the present spec kept as the previous one, no update under
 * way. A spec that means the same as the present one changes nothing, but a paused update goes on.
 * Throws `ClusterError` when the name or the kind of service would change (Docker: 501).
 */
export function applyServiceUpdate(
  service: Service,
  spec: ServiceSpec,
  now: InstantMs,
): ServiceChange {
  refuseKindChange(service.spec, spec);
  if (canonicalJson(service.spec) === canonicalJson(spec)) return resumed(service);
  const next: Service = {
    ...service,
    spec,
    specVersion: service.specVersion + 1,
    previousSpec: service.spec,
    previousSpecVersion: service.specVersion,
    updateStatus: undefined,
    jobIteration: nextIteration(service, spec),
  };
  return written(next, now);
}

/**
 * The service with its previous spec back, as asked by a user; what it leaves becomes the previous one, so that a
 * second rollback returns. Throws `ClusterError` when there is nothing to go back to.
 */
export function rollbackService(service: Service, now: InstantMs): ServiceChange {
  if (!service.previousSpec) {
    const text = `rpc error: code = FailedPrecondition desc = service ${service.id} does not have a previous spec`;
    throw new ClusterError('invalid', text);
  }
  return rollbackTo(service, service.previousSpec, now, 'manually requested rollback');
}

/**
 * The service with the spec of an earlier revision of it, byte for byte. Throws `ClusterError` when that is the
 * present one.
 */
export function rollbackToRevision(
  service: Service,
  revision: Revision,
  now: InstantMs,
): ServiceChange {
  const { specVersion } = revision;
  if (specVersion === service.specVersion) {
    throw new ClusterError(
      'invalid',
      `service ${service.spec.Name} is at revision ${specVersion} already`,
    );
  }
  refuseKindChange(service.spec, revision.spec);
  const message = `manually requested rollback to revision ${specVersion}`;
  return rollbackTo(service, revision.spec, now, message);
}

function rollbackTo(
  service: Service,
  spec: ServiceSpec,
  now: InstantMs,
  message: string,
): ServiceChange {
  const next: Service = {
    ...service,
    spec,
    specVersion: service.specVersion + 1,
    previousSpec: service.spec,
    previousSpecVersion: service.specVersion,
    updateStatus: {
      state: 'rollback_started',
      startedAt: now,
      message,
      slotsTotal: 0,
      failures: 0,
      active: [],
    },
    jobIteration: nextIteration(service, spec),
  };
  return written(next, now);
}

function resumed(service: Service): ServiceChange {
  const state = service.updateStatus?.state;
  if (state !== 'paused' && state !== 'rollback_paused') return { service, changes: [] };
  const next = { ...service, updateStatus: undefined };
  return { service: next, changes: [updateObject('service', next)] };
}

function written(service: Service, now: InstantMs): ServiceChange {
  return { service, changes: [updateObject('service', service), newServiceRevision(service, now)] };
}

function refuseKindChange(before: ServiceSpec, after: ServiceSpec): void {
  const refuse = (text: string): never => {
    throw new ClusterError('not-implemented', `rpc error: code = Unimplemented desc = ${text}`);
  };
  if ((before.Name ?? '') !== (after.Name ?? '')) refuse('renaming services is not supported');
  if (serviceMode(before).kind !== serviceMode(after).kind) {
    refuse('service mode change is not allowed');
  }
}

function nextIteration(service: Service, spec: ServiceSpec): number | undefined {
  if (!isJob(spec)) return undefined;
  const forced =
    (service.spec.TaskTemplate?.ForceUpdate ?? 0) !== (spec.TaskTemplate?.ForceUpdate ?? 0);
  return (service.jobIteration ?? 0) + (forced ? 1 : 0);
}

function isJob(spec: ServiceSpec): boolean {
  const { kind } = serviceMode(spec);
  return kind === 'replicated-job' || kind === 'global-job';
}
