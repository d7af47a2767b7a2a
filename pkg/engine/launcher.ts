/** One start of one container: rootfs, volumes, files, runtime, network, in the order that leaves nothing behind. */

import { chmod, lstat, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClusterError, errorMessage } from '../model/index.ts';
import type { AttachedSandbox } from '../overlaynet/index.ts';
import { type CreatedContainer, type NamespaceMode, RuntimeError } from '../runtime/index.ts';
import { attachmentsOf } from './cluster-networks.ts';
import type { Container } from './container.ts';
import { deviceNumber } from './device.ts';
import type { Host } from './host.ts';
import { leasePath } from './lease.ts';
import { extraHosts, hostPorts, type NetworkPlan, networkPlan } from './network-plan.ts';
import type { ContainerRecord, ResolvedMount } from './record.ts';
import { runtimeSpec } from './runtime-spec.ts';
import { resolveUser } from './user.ts';
import { copyUp } from './volumes.ts';
import { prepareWorkingDirectory } from './working-directory.ts';

/** In `/etc`, made for each container. */
export const HOST_FILES = ['hosts', 'hostname', 'resolv.conf'] as const;
const LOCALHOST = '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n';

export interface Launched {
  readonly pid: number;
  readonly sandbox: AttachedSandbox | undefined;
}

/**
 * Starts the container's program. On failure everything of this start is undone.
 * @param beforeStart runs when the container exists and its program does not run yet: attach here
 * @throws ClusterError; status 400 when the program cannot be executed
 */
export async function launch(
  host: Host,
  container: Container,
  beforeStart: () => Promise<void>,
): Promise<Launched> {
  const { id, record } = container;
  const plan = networkPlan(record);
  const created = await createInRuntime(host, record, plan);
  try {
    const sandbox = await wire(host, record, created.netns);
    await beforeStart();
    await host.runtime.start(id);
    return { pid: created.pid, sandbox };
  } catch (error) {
    await host.network?.detach(id).catch(report(host, id, 'network cannot be detached'));
    host.cluster?.release(id);
    await host.runtime
      .delete(id, { force: true })
      .catch(report(host, id, 'container cannot be removed'));
    throw startFailure(error);
  }
}

function report(host: Host, container: string, message: string): (error: unknown) => void {
  return (error) => host.log.error(message, { container, error: errorMessage(error) });
}

/** Runtime failures in the words of `docker start`. */
function startFailure(error: unknown): unknown {
  if (!(error instanceof RuntimeError)) return error;
  const bad = ['exec-not-found', 'exec-denied', 'invalid'].includes(error.code);
  const text = `failed to create task for container: failed to create shim task: OCI runtime create failed: ${error.message}`;
  return new ClusterError(bad ? 'invalid' : 'system', text, {
    cause: error,
    code: `ERR_${error.code.toUpperCase().replaceAll('-', '_')}`,
  });
}

async function createInRuntime(
  host: Host,
  record: ContainerRecord,
  plan: NetworkPlan,
): Promise<CreatedContainer> {
  const { id, config, hostConfig } = record;
  const image = host.images.get(record.imageId);
  const diffIds = image.config.rootfs.diff_ids;
  const rootfs = await host.images.layers.prepare(id, diffIds);
  const view = await host.images.layers.view(diffIds, id);
  const user = await resolveUser(config.User ?? '', hostConfig.GroupAdd ?? [], async (path) => {
    const found = await view.find(path);
    return found?.stats.isFile() ? found.path : undefined;
  });
  await prepareWorkingDirectory(host, record);
  for (const mount of record.mounts) await fillVolume(host, record, mount);
  const files = await hostFiles(host, record, plan);
  const spec = runtimeSpec(record, {
    rootfs,
    user,
    volumePath: (name) => host.volumes.path(name),
    files: [...files, ...(record.task?.files ?? []).map((file) => ({ ...file, writable: false }))],
    logPath: host.records.logPath(id),
    leasePath: leasePath(host.options.runDir),
    cgroupParent: host.options.cgroupParent,
    network: networkNamespace(host, plan),
    sharedNamespaces: {
      pid: sharedNamespace(host, hostConfig.PidMode, 'pid'),
      ipc: sharedNamespace(host, hostConfig.IpcMode, 'ipc'),
    },
    deviceNumber,
    init: hostConfig.Init ?? false,
  });
  if (spec.args.length === 0) throw new ClusterError('invalid', 'no command specified');
  try {
    return await host.runtime.create(spec);
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.code !== 'exists') throw startFailure(error);
    // What a crash left between two runs.
    await host.runtime.delete(id, { force: true });
    return host.runtime.create(spec);
  }
}

function networkNamespace(host: Host, plan: NetworkPlan): NamespaceMode {
  if (plan.kind === 'host') return 'host';
  if (plan.kind !== 'container') return 'new';
  return { path: `/proc/${runningPid(host, plan.container)}/ns/net` };
}

function sharedNamespace(
  host: Host,
  mode: string | null | undefined,
  kind: 'pid' | 'ipc',
): NamespaceMode {
  if (mode === 'host') return 'host';
  if (mode?.startsWith('container:')) {
    return { path: `/proc/${runningPid(host, mode.slice(10))}/ns/${kind}` };
  }
  return 'new';
}

function runningPid(host: Host, text: string): number {
  const other = host.registry.get(text);
  if (other.running) return other.pid;
  throw new ClusterError(
    'conflict',
    `cannot join network namespace of a non running container: container ${other.id} is ${other.state.status}`,
  );
}

/** An empty named volume gets what the image has in its place. */
async function fillVolume(
  host: Host,
  record: ContainerRecord,
  mount: ResolvedMount,
): Promise<void> {
  if (mount.type !== 'volume') return;
  if (!host.volumes.find(mount.volume)) await host.volumes.ensure({ name: mount.volume });
  if (mount.noCopy || mount.subpath !== undefined) return;
  const image = host.images.get(record.imageId);
  const view = await host.images.layers.view(image.config.rootfs.diff_ids);
  const path = await view.resolve(mount.target);
  const found = path === undefined ? undefined : await view.find(path);
  if (path === undefined || !found?.stats.isDirectory()) return;
  const entries: string[] = [];
  for (const name of await view.list(path)) {
    const entry = await view.find(`${path}/${name}`);
    if (entry) entries.push(entry.path);
  }
  await copyUp({ entries, directory: found.stats }, host.volumes.path(mount.volume));
}

/** `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`, to be completed once the network is there. */
async function hostFiles(
  host: Host,
  record: ContainerRecord,
  plan: NetworkPlan,
): Promise<readonly { source: string; target: string; writable: boolean }[]> {
  const shared = plan.kind === 'host';
  const text: Readonly<Record<(typeof HOST_FILES)[number], string>> = {
    hosts: shared ? await hostFile('/etc/hosts') : LOCALHOST,
    hostname: `${record.config.Hostname ?? ''}\n`,
    'resolv.conf': shared ? await hostFile('/etc/resolv.conf') : '',
  };
  for (const name of HOST_FILES) {
    const path = host.records.path(record.id, name);
    await writeFile(path, text[name]);
    await chmod(path, 0o644);
  }
  return HOST_FILES.map((name) => ({
    source: host.records.path(record.id, name),
    target: join('/etc', name),
    writable: true,
  }));
}

function hostFile(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}

/** Connects a network namespace as the record asks. Undefined when it is none of its own. */
export async function wire(
  host: Host,
  record: ContainerRecord,
  netns: string,
): Promise<AttachedSandbox | undefined> {
  const plan = networkPlan(record);
  if (plan.kind === 'host' || plan.kind === 'container') return undefined;
  // `none` is a sandbox without attachments: its loopback comes up.
  const isolated = plan.kind === 'none';
  if (isolated && !host.network) return undefined;
  if (!host.network) throw new ClusterError('unavailable', 'this host has no network configured');
  const { hostConfig } = record;
  const { overlays, localNetworks } = await attachmentsOf(
    host,
    record,
    isolated ? new Map() : plan.local,
  );
  const sandbox = await host.network.attach({
    containerId: record.id,
    netns,
    name: record.name,
    hostname: record.config.Hostname ?? '',
    overlays: [
      ...(record.task?.overlays ?? []).map(({ networkId, address, address6 }) => ({
        networkId,
        address,
        address6,
      })),
      ...overlays,
    ],
    localNetworks,
    hostPorts: isolated ? [] : hostPorts(record),
    dns: {
      servers: filled(hostConfig.Dns),
      search: filled(hostConfig.DnsSearch),
      options: filled(hostConfig.DnsOptions),
    },
    extraHosts: extraHosts(record),
  });
  // In place: the files are mounted already.
  await writeFile(host.records.path(record.id, 'hosts'), sandbox.hosts);
  await writeFile(host.records.path(record.id, 'resolv.conf'), sandbox.resolvConf);
  return sandbox;
}

function filled(list: readonly string[] | null | undefined): readonly string[] | undefined {
  return list && list.length > 0 ? list : undefined;
}

/** Whether a path exists on the host, links not followed. */
export async function hostPathExists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
