import {
  compareTaskState,
  isRunnable,
  type PublishedPort,
  type Service,
  type ServiceMode,
  type ServiceSpec,
  serviceMode,
  type Task,
  type UpdateConfigSpec,
  type UpdateStatus,
  type View,
} from '../../model/index.ts';
import type { DockerJson } from '../engine.ts';
import { timeText } from './time.ts';

const SECOND_NS = 1_000_000_000;

export interface ServiceRendering {
  readonly insertDefaults?: boolean | undefined;
  readonly status?: boolean | undefined;
}

/** The Engine API's Service. */
export function renderService(
  view: View,
  service: Service,
  options: ServiceRendering = {},
): DockerJson {
  const spec = filledMode(service.spec);
  return {
    ID: service.id,
    Version: { Index: specIndex(view, service) },
    CreatedAt: timeText(service.createdAt),
    UpdatedAt: timeText(service.updatedAt),
    Spec: options.insertDefaults ? withDefaults(spec) : spec,
    ...(service.previousSpec && { PreviousSpec: filledMode(service.previousSpec) }),
    Endpoint: renderEndpoint(service),
    ...(service.updateStatus && { UpdateStatus: renderUpdateStatus(service.updateStatus) }),
    ...(options.status && { ServiceStatus: serviceStatus(view, service) }),
    ...(service.jobIteration !== undefined && { JobStatus: renderJobStatus(service) }),
  };
}

/**
 * Index at which the spec last changed: a service's revision is written together with its spec and never again, so
 * this does not move when only the status does.
 */
function specIndex(view: View, service: Service): number {
  return view.revision(service.id, service.specVersion)?.version ?? service.version;
}

/** The CLI dereferences these numbers without asking whether they are there. */
function filledMode(spec: ServiceSpec): ServiceSpec {
  const mode = serviceMode(spec);
  if (mode.kind === 'global' || mode.kind === 'global-job') return spec;
  return { ...spec, Mode: { ...spec.Mode, ...filledReplicas(mode) } };
}

function filledReplicas(
  mode: Extract<ServiceMode, { kind: 'replicated' | 'replicated-job' }>,
): NonNullable<ServiceSpec['Mode']> {
  if (mode.kind === 'replicated') return { Replicated: { Replicas: mode.replicas } };
  return {
    ReplicatedJob: { MaxConcurrent: mode.maxConcurrent, TotalCompletions: mode.totalCompletions },
  };
}

/** `insertDefaults=true`: what applies where the user said nothing (SwarmKit api/defaults). */
function withDefaults(spec: ServiceSpec): ServiceSpec {
  const template = spec.TaskTemplate ?? {};
  const container = template.ContainerSpec;
  return {
    ...spec,
    TaskTemplate: {
      ...template,
      ...(container && {
        ContainerSpec: {
          ...container,
          StopGracePeriod: container.StopGracePeriod ?? 10 * SECOND_NS,
          DNSConfig: container.DNSConfig ?? {},
        },
      }),
      Resources: { Limits: {}, Reservations: {}, ...template.Resources },
      RestartPolicy: {
        Condition: 'any',
        Delay: 5 * SECOND_NS,
        MaxAttempts: 0,
        ...present(template.RestartPolicy),
      },
      Placement: template.Placement ?? {},
      ForceUpdate: template.ForceUpdate ?? 0,
      Runtime: template.Runtime || 'container',
    },
    UpdateConfig: updateDefaults(spec.UpdateConfig),
    RollbackConfig: updateDefaults(spec.RollbackConfig),
    EndpointSpec: { ...spec.EndpointSpec, Mode: spec.EndpointSpec?.Mode || 'vip' },
  };
}

function updateDefaults(config: UpdateConfigSpec | null | undefined): UpdateConfigSpec {
  return {
    Parallelism: 1,
    FailureAction: 'pause',
    Monitor: 5 * SECOND_NS,
    MaxFailureRatio: 0,
    Order: 'stop-first',
    ...present(config),
  };
}

/** Fields that say something: null and empty text are the same as absent. */
function present<T extends object>(value: T | null | undefined): Partial<T> {
  const entries = Object.entries(value ?? {}).filter(([, item]) => item !== null && item !== '');
  return Object.fromEntries(entries) as Partial<T>;
}

function renderEndpoint(service: Service): DockerJson {
  const { ports, virtualIps } = service.endpoint;
  return {
    Spec: service.spec.EndpointSpec ?? {},
    ...(ports.length > 0 && { Ports: ports.map(renderPort) }),
    ...(virtualIps.length > 0 && {
      VirtualIPs: virtualIps.map(({ networkId, address }) => ({
        NetworkID: networkId,
        Addr: address,
      })),
    }),
  };
}

function renderPort(port: PublishedPort): DockerJson {
  return {
    ...(port.name && { Name: port.name }),
    Protocol: port.protocol,
    TargetPort: port.targetPort,
    ...(port.publishedPort > 0 && { PublishedPort: port.publishedPort }),
    PublishMode: port.publishMode,
  };
}

function renderUpdateStatus(status: UpdateStatus): DockerJson {
  return {
    State: status.state,
    StartedAt: timeText(status.startedAt),
    ...(status.completedAt !== undefined && { CompletedAt: timeText(status.completedAt) }),
    Message: status.message,
  };
}

function renderJobStatus(service: Service): DockerJson {
  return {
    JobIteration: { Index: service.jobIteration },
    LastExecution: timeText(service.updatedAt),
  };
}

function serviceStatus(view: View, service: Service): DockerJson {
  const mode = serviceMode(service.spec);
  const counts = { running: 0, wanted: 0, completed: 0 };
  for (const task of view.tasksOfService(service.id)) {
    if (runs(view, task)) counts.running += 1;
    // The place of a task that was rejected is filled later, and is wanted meanwhile.
    if (isRunnable(task) || task.desiredState === 'ready') counts.wanted += 1;
    if (task.status.state === 'complete' && task.jobIteration === service.jobIteration) {
      counts.completed += 1;
    }
  }
  return {
    RunningTasks: counts.running,
    DesiredTasks: wantedTasks(mode, counts.wanted),
    CompletedTasks: counts.completed,
  };
}

function wantedTasks(mode: ServiceMode, counted: number): number {
  if (mode.kind === 'replicated') return mode.replicas;
  if (mode.kind === 'replicated-job') return mode.maxConcurrent;
  return counted;
}

/** A task last heard of as running on a node that is down does not run. */
function runs(view: View, task: Task): boolean {
  if (compareTaskState(task.status.state, 'running') !== 0) return false;
  if (task.nodeId === undefined) return false;
  return view.get('node', task.nodeId)?.status.state !== 'down';
}
