import type { InstantMs, NetworkId, RevisionId, ServiceId, TaskId, Version } from './id.ts';
import type { ServiceSpec, UpdateConfigSpec } from './service-spec.ts';
import type { PortProtocol } from './task.ts';

export type UpdateState =
  | 'updating'
  | 'paused'
  | 'completed'
  | 'rollback_started'
  | 'rollback_paused'
  | 'rollback_completed';

/**
 * Progress of the rolling update or rollback of a service. Everything the update supervisor counts or waits for is
 * here, so a new leader continues with the same numbers and instants.
 */
export interface UpdateStatus {
  readonly state: UpdateState;
  readonly startedAt: InstantMs;
  readonly completedAt?: InstantMs | undefined;
  readonly message: string;
  /** Slots (or nodes, for global services) that had to be replaced when this update began. */
  readonly slotsTotal: number;
  /** Replacement tasks that failed within their monitor period since the update began. */
  readonly failures: number;
  /** The next batch of slots may be taken from this instant on (`delay`). */
  readonly nextAt?: InstantMs | undefined;
  /** When a replacement last came up or stood its monitor period; the progress deadline counts from here. */
  readonly progressAt?: InstantMs | undefined;
  /** Ended because nothing came up in time, not because of failures. */
  readonly overdue?: boolean | undefined;
  /** Slot keys being replaced now, and when each replacement was seen running. */
  readonly active: readonly {
    readonly slot: string;
    /** The replacement being watched. */
    readonly taskId: TaskId;
    readonly runningSince?: InstantMs | undefined;
  }[];
}

export interface PublishedPort {
  readonly name?: string | undefined;
  readonly protocol: PortProtocol;
  readonly targetPort: number;
  /** Given by the user or chosen by the allocator. 0 for a host-mode port without a wish. */
  readonly publishedPort: number;
  readonly publishMode: 'ingress' | 'host';
}

/** A network with IPv6 has two of a service, IPv4's first. */
export interface VirtualIp {
  readonly networkId: NetworkId;
  /** `10.0.1.2/24` */
  readonly address: string;
}

/** What the allocator gave the service. */
export interface ServiceEndpoint {
  readonly ports: readonly PublishedPort[];
  readonly virtualIps: readonly VirtualIp[];
}

export interface Service {
  readonly id: ServiceId;
  readonly version: Version;
  readonly createdAt: InstantMs;
  readonly updatedAt: InstantMs;
  readonly spec: ServiceSpec;
  /** Grows by one with every accepted change of `spec`. From 1. */
  readonly specVersion: number;
  /** Version that the writer of the present spec had seen: whoever read a later one knows this spec. */
  readonly specSeen?: Version | undefined;
  readonly previousSpec?: ServiceSpec | undefined;
  readonly previousSpecVersion?: number | undefined;
  readonly endpoint: ServiceEndpoint;
  /** Set once the allocator has given everything that this specVersion asks for. */
  readonly allocatedVersion?: number | undefined;
  readonly updateStatus?: UpdateStatus | undefined;
  /** Bumped by a forced update of a job. */
  readonly jobIteration?: number | undefined;
  /** What agents pull the image with. Given beside the spec; no answer of the API shows it. */
  readonly registryAuth?: RegistryCredentials | undefined;
}

/** Decoded `X-Registry-Auth` (Engine API, "Authentication"). */
export interface RegistryCredentials {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly identitytoken?: string | undefined;
  readonly registrytoken?: string | undefined;
  readonly serveraddress?: string | undefined;
}

/** One accepted spec of a service; tasks refer to it by (serviceId, specVersion). The last 20 are kept, and those that tasks refer to. */
export interface Revision {
  readonly id: RevisionId;
  readonly version: Version;
  readonly createdAt: InstantMs;
  readonly updatedAt: InstantMs;
  readonly serviceId: ServiceId;
  readonly specVersion: number;
  readonly spec: ServiceSpec;
}

export type ServiceMode =
  | { readonly kind: 'replicated'; readonly replicas: number }
  | { readonly kind: 'global' }
  | {
      readonly kind: 'replicated-job';
      readonly maxConcurrent: number;
      readonly totalCompletions: number;
    }
  | { readonly kind: 'global-job' };

export interface UpdatePolicy {
  /** 0: all at once. */
  readonly parallelism: number;
  readonly delayMs: number;
  readonly failureAction: 'pause' | 'continue' | 'rollback';
  readonly monitorMs: number;
  readonly maxFailureRatio: number;
  readonly order: 'stop-first' | 'start-first';
}

export interface RestartPolicy {
  readonly condition: 'none' | 'on-failure' | 'any';
  readonly delayMs: number;
  /** 0: without limit. */
  readonly maxAttempts: number;
  /** 0: attempts count for ever. */
  readonly windowMs: number;
}

/** How many accepted specs of a service are kept, the present one among them. */
export const REVISIONS_MAX = 20;
export const REPLICAS_DEFAULT = 1;
export const UPDATE_MONITOR_DEFAULT_MS = 5_000;
export const RESTART_DELAY_DEFAULT_MS = 5_000;
export const STOP_GRACE_DEFAULT_MS = 10_000;

const NANOS_PER_MS = 1_000_000;

export function nanosToMs(nanos: number): number {
  return Math.round(nanos / NANOS_PER_MS);
}

export function serviceMode(spec: ServiceSpec): ServiceMode {
  const mode = spec.Mode;
  if (mode?.Global) return { kind: 'global' };
  if (mode?.GlobalJob) return { kind: 'global-job' };
  if (mode?.ReplicatedJob) {
    const maxConcurrent = mode.ReplicatedJob.MaxConcurrent ?? 1;
    const totalCompletions = mode.ReplicatedJob.TotalCompletions ?? maxConcurrent;
    return { kind: 'replicated-job', maxConcurrent, totalCompletions };
  }
  return { kind: 'replicated', replicas: mode?.Replicated?.Replicas ?? REPLICAS_DEFAULT };
}

/** Docker's defaults: one at a time, pause on failure, 5 s monitor, ratio 0, stop-first. */
export function updatePolicy(spec: UpdateConfigSpec | null | undefined): UpdatePolicy {
  const action = spec?.FailureAction;
  return {
    parallelism: spec?.Parallelism ?? 1,
    delayMs: nanosToMs(spec?.Delay ?? 0),
    failureAction: action === 'continue' || action === 'rollback' ? action : 'pause',
    monitorMs: spec?.Monitor ? nanosToMs(spec.Monitor) : UPDATE_MONITOR_DEFAULT_MS,
    maxFailureRatio: spec?.MaxFailureRatio ?? 0,
    order: spec?.Order === 'start-first' ? 'start-first' : 'stop-first',
  };
}

export function restartPolicy(spec: ServiceSpec): RestartPolicy {
  const policy = spec.TaskTemplate?.RestartPolicy;
  const condition = policy?.Condition;
  const delay = policy?.Delay;
  return {
    condition: condition === 'none' || condition === 'on-failure' ? condition : 'any',
    delayMs: delay === undefined || delay === null ? RESTART_DELAY_DEFAULT_MS : nanosToMs(delay),
    maxAttempts: policy?.MaxAttempts ?? 0,
    windowMs: nanosToMs(policy?.Window ?? 0),
  };
}

/** How long a task may take between its stop signal and SIGKILL. */
export function stopGraceMs(spec: ServiceSpec): number {
  const nanos = spec.TaskTemplate?.ContainerSpec?.StopGracePeriod;
  return nanos === undefined || nanos === null ? STOP_GRACE_DEFAULT_MS : nanosToMs(nanos);
}

/** Networks the spec names, old place (`Networks`) or new (`TaskTemplate.Networks`). */
export function networkTargets(
  spec: ServiceSpec,
): readonly { readonly target: string; readonly aliases: readonly string[] }[] {
  const targets = spec.TaskTemplate?.Networks?.length ? spec.TaskTemplate.Networks : spec.Networks;
  return (targets ?? []).flatMap(({ Target, Aliases }) =>
    Target ? [{ target: Target, aliases: Aliases ?? [] }] : [],
  );
}

export function endpointMode(spec: ServiceSpec): 'vip' | 'dnsrr' {
  return spec.EndpointSpec?.Mode === 'dnsrr' ? 'dnsrr' : 'vip';
}

/** Ports as asked for; published port 0 means "choose one". */
export function portsAsked(spec: ServiceSpec): readonly PublishedPort[] {
  return (spec.EndpointSpec?.Ports ?? []).map((port) => ({
    name: port.Name || undefined,
    protocol: port.Protocol === 'udp' || port.Protocol === 'sctp' ? port.Protocol : 'tcp',
    targetPort: port.TargetPort ?? 0,
    publishedPort: port.PublishedPort ?? 0,
    publishMode: port.PublishMode === 'host' ? 'host' : 'ingress',
  }));
}

/** A service that publishes a port through the mesh takes part in the ingress network. */
export function usesIngress(spec: ServiceSpec): boolean {
  return portsAsked(spec).some((port) => port.publishMode === 'ingress');
}
