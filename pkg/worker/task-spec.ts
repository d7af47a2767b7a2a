import type { TaskContainerSpec, TaskNetwork } from '../engine/index.ts';
import {
  ClusterError,
  type GenericResource,
  genericEnvironment,
  type NetworkId,
  type NetworkTable,
  NODE_LOCAL_NETWORKS,
  networkTargets,
  networkWishes,
  portsAsked,
  type ServiceSpec,
  servicePolicy,
  taskName,
} from '../model/index.ts';
import type { TaskAssignment } from '../rpc/index.ts';
import { taskVolumes, type VolumeLookup } from './task-volumes.ts';

/** What a task takes from the node besides its own assignment. */
export interface TaskSurroundings {
  readonly nodeId: string;
  readonly hostname: string;
  readonly tables: ReadonlyMap<NetworkId, NetworkTable>;
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  readonly configs: ReadonlyMap<string, Uint8Array>;
  /** Ids among them whose placeholders are filled in for each task. */
  readonly templated: ReadonlySet<string>;
  /** Paths of the device nodes that belong to what a task holds. Throws when this machine does not offer it any more. */
  readonly devicesOf: (held: readonly GenericResource[]) => readonly string[];
  /** Cluster volumes that are on the node. */
  readonly volume: VolumeLookup;
}

/** Ids of the secrets and configs that the spec names. */
export function dependenciesOf(spec: ServiceSpec): {
  readonly secrets: readonly string[];
  readonly configs: readonly string[];
} {
  const container = spec.TaskTemplate?.ContainerSpec;
  return {
    secrets: (container?.Secrets ?? []).map(({ SecretID }) => SecretID),
    configs: (container?.Configs ?? []).map(({ ConfigID }) => ConfigID),
  };
}

/** The task in the engine's words. Throws `invalid` when the spec has no container. */
export function taskContainerSpec(
  { task, spec }: TaskAssignment,
  surroundings: TaskSurroundings,
): TaskContainerSpec {
  const template = spec.TaskTemplate;
  const container = template?.ContainerSpec;
  if (!container)
    throw new ClusterError('invalid', 'ContainerSpec: image reference must be provided');
  const { secrets, configs } = dependenciesOf(spec);
  const driver = template.LogDriver;
  const { mounts, devices } = taskVolumes(task, container.Mounts ?? [], surroundings.volume);
  return {
    taskId: task.id,
    taskName: taskName(task),
    serviceId: task.serviceId,
    serviceName: task.serviceName,
    serviceLabels: spec.Labels ?? undefined,
    slot: task.slot,
    nodeId: surroundings.nodeId,
    nodeHostname: surroundings.hostname,
    container: {
      ...container,
      Mounts: mounts,
      Env: [...(container.Env ?? []), ...genericEnvironment(task.genericResources ?? [])],
    },
    devices: surroundings.devicesOf(task.genericResources ?? []),
    blockVolumes: devices,
    fenceMs: servicePolicy(spec).fenceMs || undefined,
    limits: template.Resources?.Limits ?? undefined,
    reservations: template.Resources?.Reservations ?? undefined,
    logDriver: driver?.Name ? { name: driver.Name, options: driver.Options ?? {} } : undefined,
    networks: taskNetworks({ task, spec }, surroundings.tables),
    hostPorts: portsAsked(spec)
      .filter(({ publishMode }) => publishMode === 'host')
      .map(({ protocol, targetPort, publishedPort }) => {
        const { listenOn } = networkWishes(spec).mesh ?? {};
        return { protocol, targetPort, publishedPort, listenOn };
      }),
    secrets: picked(secrets, surroundings.secrets),
    configs: picked(configs, surroundings.configs),
    templated: new Set([...secrets, ...configs].filter((id) => surroundings.templated.has(id))),
  };
}

/** What the allocator gave, and the networks of the host itself that the spec names. */
function taskNetworks(
  { task, spec }: TaskAssignment,
  tables: TaskSurroundings['tables'],
): readonly TaskNetwork[] {
  const overlays = task.networks.map(({ networkId, addresses, aliases }) => ({
    networkId,
    networkName: tables.get(networkId)?.name ?? networkId,
    addresses,
    aliases,
  }));
  const local = networkTargets(spec)
    .filter(({ target }) => NODE_LOCAL_NETWORKS.has(target))
    .map(({ target, aliases }) => ({
      networkId: target as NetworkId,
      networkName: target,
      addresses: [],
      aliases,
    }));
  return [...overlays, ...local];
}

function picked(
  ids: readonly string[],
  values: ReadonlyMap<string, Uint8Array>,
): ReadonlyMap<string, Uint8Array> {
  return new Map(
    ids.flatMap((id): [string, Uint8Array][] => {
      const value = values.get(id);
      return value ? [[id, value]] : [];
    }),
  );
}
