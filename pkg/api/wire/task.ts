import {
  type NetworkId,
  type RevisionId,
  revisionId,
  type ServiceSpec,
  type Task,
  type TaskStatus,
  taskName,
  taskSpecChanged,
  type View,
} from '../../model/index.ts';
import type { DockerJson } from '../engine.ts';
import type { PieceRendering } from '../kept-pieces.ts';
import { renderGenericResources } from './generic-resource.ts';
import { timeText } from './time.ts';

/** The Engine API's Task. */
export function renderTask(view: View, task: Task): DockerJson {
  const spec = taskServiceSpec(view, task);
  return {
    ID: task.id,
    Version: { Index: task.version },
    CreatedAt: timeText(task.createdAt),
    UpdatedAt: timeText(task.updatedAt),
    Name: taskName(task),
    Labels: {},
    Spec: { ForceUpdate: 0, ...spec?.TaskTemplate },
    ServiceID: task.serviceId,
    ...(isNumbered(task) && { Slot: task.slot }),
    ...(task.nodeId && { NodeID: task.nodeId }),
    Status: renderTaskStatus(task.status),
    ...(task.genericResources && {
      AssignedGenericResources: renderGenericResources(task.genericResources),
    }),
    ...(task.volumes && {
      Volumes: task.volumes.map(({ volumeId, source, target }) => ({
        ID: volumeId,
        Source: source,
        Target: target,
      })),
    }),
    DesiredState: task.desiredState,
    NetworksAttachments: task.networks.map((attachment) => ({
      Network: networkOfAttachment(view, attachment.networkId),
      Addresses: attachment.addresses,
    })),
    ...(task.jobIteration !== undefined && { JobIteration: { Index: task.jobIteration } }),
  };
}

/** What the text of a task shows besides the task. */
export type TaskSource = RevisionId | NetworkId;

/** Tasks as JSON text, for lists that are kept. */
export function taskRendering(view: View): PieceRendering<Task, TaskSource> {
  return {
    text: (task) => JSON.stringify(renderTask(view, task)),
    sources: ({ serviceId, specVersion, networks }) => [
      revisionId(serviceId, specVersion),
      ...networks.map(({ networkId }) => networkId),
    ],
    // No network has the id of a revision.
    read: (source) =>
      view.get('revision', source as RevisionId) ?? view.get('network', source as NetworkId),
  };
}

/** Global tasks have no slot; those of replicated jobs count from 0. */
function isNumbered(task: Task): boolean {
  return task.slot > 0 || task.jobIteration !== undefined;
}

/** The spec the task was made from. */
export function taskServiceSpec(view: View, task: Task): ServiceSpec | undefined {
  return view.revision(task.serviceId, task.specVersion)?.spec;
}

/** Labels that task filters match: the service's present ones, or those it had when it was removed. */
export function taskServiceLabels(
  view: View,
  task: Task,
): Readonly<Record<string, string>> | null | undefined {
  const service = view.get('service', task.serviceId);
  return (service?.spec ?? taskServiceSpec(view, task))?.Labels;
}

/** `_up-to-date`: no update would replace this task. */
export function isUpToDate(view: View, task: Task): boolean {
  const service = view.get('service', task.serviceId);
  if (!service) return false;
  if (service.jobIteration !== task.jobIteration) return false;
  if (service.specVersion === task.specVersion) return true;
  const spec = taskServiceSpec(view, task);
  return spec !== undefined && !taskSpecChanged(spec, service.spec);
}

function renderTaskStatus(status: TaskStatus): DockerJson {
  const container = status.containerId !== undefined || status.exitCode !== undefined;
  return {
    Timestamp: timeText(status.at),
    State: status.state,
    Message: status.message,
    ...(status.error && { Err: status.error }),
    ...(container && {
      ContainerStatus: {
        ContainerID: status.containerId ?? '',
        PID: status.pid ?? 0,
        ExitCode: status.exitCode ?? 0,
      },
    }),
    PortStatus: renderHostPorts(status),
  };
}

function renderHostPorts(status: TaskStatus): DockerJson {
  if (!status.hostPorts?.length) return {};
  return {
    Ports: status.hostPorts.map((port) => ({
      Protocol: port.protocol,
      TargetPort: port.targetPort,
      PublishedPort: port.publishedPort,
      PublishMode: 'host',
    })),
  };
}

function networkOfAttachment(view: View, id: Task['networks'][number]['networkId']): DockerJson {
  const network = view.get('network', id);
  if (!network) return { ID: id };
  return {
    ID: id,
    Version: { Index: network.version },
    CreatedAt: timeText(network.createdAt),
    UpdatedAt: timeText(network.updatedAt),
    Spec: {
      Name: network.spec.Name,
      Labels: network.spec.Labels ?? {},
      DriverConfiguration: { Name: network.spec.Driver || 'overlay' },
      ...(network.spec.Ingress && { Ingress: true }),
      Scope: 'swarm',
    },
    DriverState: { Name: 'overlay' },
    IPAMOptions: {
      Driver: { Name: 'default' },
      Configs: network.subnets.map(({ subnet, gateway }) => ({ Subnet: subnet, Gateway: gateway })),
    },
  };
}
