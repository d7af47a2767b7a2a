/** From a request to a record: the image's defaults filled in, everything checked, nothing started. */
import { mkdir } from 'node:fs/promises';
import type { Image, ImageProcess } from '../image/index.ts';
import { newHexId } from '../io/index.ts';
import { ClusterError, errorMessage } from '../model/index.ts';
import { Container } from './container.ts';
import {
  type ContainerConfig,
  type CreateBody,
  type EndpointConfig,
  type HostConfig,
  wordsOf,
} from './docker-shape.ts';
import type { Host } from './host.ts';
import { hostPathExists } from './launcher.ts';
import { resolveMounts } from './mounts.ts';
import { checkName, inventName } from './name.ts';
import { extraHosts, hostPorts, networkPlan } from './network-plan.ts';
import { type ContainerRecord, NEVER_RUN, type TaskRecord } from './record.ts';
import { resourcesOf } from './runtime-spec.ts';
import { removeSecrets } from './secrets.ts';
import { refuseUnsupported } from './unsupported.ts';

export interface CreateRequest {
  readonly name?: string | undefined;
  readonly body: CreateBody;
  readonly task?: TaskRecord | undefined;
  /** Overrides the lookup of `body.Image`. */
  readonly imageId?: string | undefined;
  /** Runs with the id before anything is on disk: secret files. */
  readonly prepare?: ((id: string) => Promise<TaskRecord | undefined>) | undefined;
}

/**
 * Makes a container. On failure nothing of it is left, anonymous volumes included.
 * @throws ClusterError `No such image: x`, `conflict` for a taken name, `invalid` for what cannot be
 */
export async function createContainer(
  host: Host,
  request: CreateRequest,
): Promise<{ readonly container: Container; readonly warnings: readonly string[] }> {
  const { body } = request;
  const imageName = body.Image ?? '';
  if (imageName === '') throw new ClusterError('invalid', 'no image specified');
  const image = host.images.get(request.imageId ?? imageName);
  const id = newHexId(host.random);
  const name = request.name
    ? checkName(request.name)
    : inventName(host.random, (taken) => host.registry.hasName(taken));
  host.registry.reserve(name, id);
  const made: string[] = [];
  try {
    const task = (await request.prepare?.(id)) ?? request.task;
    const record = await makeRecord(host, { ...request, task }, { id, name, image, made });
    await host.images.prepareSnapshot(id, image.id);
    await host.records.save(record);
    const container = new Container(record);
    host.registry.add(container);
    host.events.emit('container', 'create', { id, attributes: container.attributes() });
    return { container, warnings: [] };
  } catch (error) {
    host.registry.release(name);
    await undo(host, id, made);
    throw error;
  }
}

async function undo(host: Host, id: string, volumes: readonly string[]): Promise<void> {
  const ignore = (error: unknown): void =>
    host.log.warn('remains of a failed create', { container: id, error: errorMessage(error) });
  await host.images.layers.removeSnapshot(id).catch(ignore);
  await host.records.remove(id).catch(ignore);
  await removeSecrets(host, id).catch(ignore);
  for (const volume of volumes) await host.volumes.remove(volume).catch(ignore);
}

async function makeRecord(
  host: Host,
  request: CreateRequest,
  made: {
    readonly id: string;
    readonly name: string;
    readonly image: Image;
    /** Anonymous volumes, for the undo. */
    readonly made: string[];
  },
): Promise<ContainerRecord> {
  const { HostConfig, NetworkingConfig, ...own } = request.body;
  const hostConfig: HostConfig = HostConfig ?? {};
  refuseUnsupported({ ...hostConfig });
  const config = mergeConfig(own, made.image.config.config ?? {}, {
    id: made.id,
    hostConfig,
    hostname: host.options.hostname,
  });
  if (command(config).length === 0) throw new ClusterError('invalid', 'no command specified');
  const mounts = await resolveMounts(hostConfig, Object.keys(config.Volumes ?? {}), {
    exists: hostPathExists,
    makeDirectory: async (path) => {
      await mkdir(path, { recursive: true });
    },
    ensureVolume: async (wanted) => {
      const volume = await host.volumes.ensure(wanted);
      if (volume.anonymous) made.made.push(volume.name);
      return { name: volume.name, anonymous: volume.anonymous };
    },
    mountsOf: (text) => host.registry.get(text).record.mounts,
  });
  const record: ContainerRecord = {
    version: 1,
    id: made.id,
    name: made.name,
    createdAt: new Date(host.clock.now()).toISOString(),
    imageName: request.body.Image ?? '',
    imageId: made.image.id,
    config,
    hostConfig,
    endpoints: endpointsOf(NetworkingConfig?.EndpointsConfig ?? {}),
    mounts,
    task: request.task,
    state: NEVER_RUN,
  };
  checkRecord(host, record);
  return record;
}

function endpointsOf(
  endpoints: Readonly<Record<string, EndpointConfig | null | undefined>>,
): Readonly<Record<string, EndpointConfig>> {
  const named = Object.entries(endpoints).filter(
    ([name]) => name !== 'host' && name !== 'none' && name !== 'default',
  );
  return Object.fromEntries(named.map(([name, endpoint]) => [name, endpoint ?? {}]));
}

/** What can be refused now should not wait for the start. */
function checkRecord(host: Host, record: ContainerRecord): void {
  const plan = networkPlan(record);
  // In a cluster, a name that this host does not know is the leader's to judge, at the start.
  if (plan.kind === 'own' && host.cluster?.available !== true) {
    for (const name of plan.local.keys()) host.networks.get(name);
  }
  hostPorts(record);
  extraHosts(record);
  const { memoryBytes } = resourcesOf(
    {
      ...record.hostConfig,
      BlkioDeviceReadBps: null,
      BlkioDeviceWriteBps: null,
      BlkioDeviceReadIOps: null,
      BlkioDeviceWriteIOps: null,
    },
    () => ({ major: 0, minor: 0 }),
  );
  if (memoryBytes !== undefined && memoryBytes < 6 << 20) {
    throw new ClusterError('invalid', 'Minimum memory limit allowed is 6MB');
  }
  if (
    record.hostConfig.AutoRemove &&
    (record.hostConfig.RestartPolicy?.Name ?? 'no') !== 'no' &&
    record.hostConfig.RestartPolicy?.Name !== ''
  ) {
    throw new ClusterError('invalid', "can't create 'AutoRemove' container with restart policy");
  }
}

function command(config: ContainerConfig): readonly string[] {
  return [...(wordsOf(config.Entrypoint) ?? []), ...(wordsOf(config.Cmd) ?? [])];
}

/** The user's words over the image's. An entrypoint of the user's drops the image's command. */
export function mergeConfig(
  own: ContainerConfig,
  image: ImageProcess,
  facts: { readonly id: string; readonly hostConfig: HostConfig; readonly hostname: string },
): ContainerConfig {
  const shared = facts.hostConfig.NetworkMode === 'host' || facts.hostConfig.UTSMode === 'host';
  return {
    ...own,
    Hostname: own.Hostname || (shared ? facts.hostname : facts.id.slice(0, 12)),
    User: own.User || image.User || '',
    ...mergeCommand(own, image),
    Env: mergeEnv(image.Env ?? [], own.Env ?? []),
    WorkingDir: own.WorkingDir || image.WorkingDir || '',
    Labels: { ...image.Labels, ...own.Labels },
    Volumes: { ...image.Volumes, ...own.Volumes },
    ExposedPorts: { ...image.ExposedPorts, ...own.ExposedPorts, ...bound(facts.hostConfig) },
    StopSignal: own.StopSignal || image.StopSignal,
    Healthcheck: mergeHealth(own.Healthcheck, image.Healthcheck),
  };
}

function mergeCommand(
  own: ContainerConfig,
  image: ImageProcess,
): Pick<ContainerConfig, 'Entrypoint' | 'Cmd'> {
  const entrypoint = wordsOf(own.Entrypoint) ?? [];
  const command = wordsOf(own.Cmd) ?? [];
  if (entrypoint.length === 0) {
    const Cmd = command.length > 0 ? command : (image.Cmd ?? null);
    return { Entrypoint: image.Entrypoint ?? null, Cmd };
  }
  // `--entrypoint ""` arrives as [""]: none at all.
  const cleared = entrypoint.length === 1 && entrypoint[0] === '';
  return { Entrypoint: cleared ? [] : entrypoint, Cmd: command };
}

function bound(hostConfig: HostConfig): Readonly<Record<string, object>> {
  return Object.fromEntries(Object.keys(hostConfig.PortBindings ?? {}).map((key) => [key, {}]));
}

/** Later names win, first places stay. */
export function mergeEnv(image: readonly string[], own: readonly string[]): readonly string[] {
  const byName = new Map<string, string>();
  for (const entry of [...image, ...own]) byName.set(entry.split('=')[0] ?? '', entry);
  return [...byName.values()];
}

function mergeHealth(
  own: ContainerConfig['Healthcheck'],
  image: ImageProcess['Healthcheck'],
): ContainerConfig['Healthcheck'] {
  if (!own) return image ?? undefined;
  if (!image) return own;
  return {
    Test: own.Test && own.Test.length > 0 ? own.Test : image.Test,
    Interval: own.Interval || image.Interval,
    Timeout: own.Timeout || image.Timeout,
    StartPeriod: own.StartPeriod || image.StartPeriod,
    StartInterval: own.StartInterval || image.StartInterval,
    Retries: own.Retries || image.Retries,
  };
}
