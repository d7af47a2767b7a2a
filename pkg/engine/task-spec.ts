/** A task's specification → the body of `docker create`. Pure. */
import type { ContainerSpec, FileTargetSpec } from '../model/index.ts';
import type { CreateBody, HostConfig, MountRequest } from './docker-shape.ts';
import type { TaskContainerSpec } from './task-engine.ts';
import { expandTemplate, type TemplateFacts } from './task-template.ts';

/** One file to be made before the container. */
export interface TaskFile {
  readonly target: string;
  readonly bytes: Uint8Array;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

const STOP_GRACE_MS = 10_000;
const FILE_MODE = 0o444;
const MS = 1_000_000;

export function stopGraceMs(container: ContainerSpec): number {
  const ns = container.StopGracePeriod;
  return ns === undefined || ns === null ? STOP_GRACE_MS : ns / MS;
}

export function taskBody(spec: TaskContainerSpec): CreateBody {
  const { container } = spec;
  const facts = factsOf(spec);
  const expand = (text: string): string => expandTemplate(text, facts);
  return {
    Image: container.Image,
    Entrypoint: container.Command ?? null,
    Cmd: container.Args ?? null,
    Hostname: expand(container.Hostname ?? ''),
    Env: (container.Env ?? []).map(expand),
    WorkingDir: expand(container.Dir ?? ''),
    User: container.User ?? '',
    Tty: container.TTY ?? false,
    OpenStdin: container.OpenStdin ?? false,
    StopSignal: container.StopSignal ?? undefined,
    StopTimeout: Math.ceil(stopGraceMs(container) / 1000),
    Healthcheck: container.Healthcheck ?? undefined,
    Labels: taskLabels(spec),
    HostConfig: taskHostConfig(spec, expand),
  };
}

function factsOf(spec: TaskContainerSpec): TemplateFacts {
  return {
    serviceId: spec.serviceId,
    serviceName: spec.serviceName,
    serviceLabels: spec.serviceLabels ?? {},
    nodeId: spec.nodeId,
    nodeHostname: spec.nodeHostname,
    taskId: spec.taskId,
    taskName: spec.taskName,
    slot: spec.slot,
  };
}

/** The user's labels and those by which Swarm's tools find a task's container; the latter cannot be overridden. */
function taskLabels(spec: TaskContainerSpec): Readonly<Record<string, string>> {
  return {
    ...spec.container.Labels,
    'com.docker.swarm.task': '',
    'com.docker.swarm.task.id': spec.taskId,
    'com.docker.swarm.task.name': spec.taskName,
    'com.docker.swarm.node.id': spec.nodeId,
    'com.docker.swarm.service.id': spec.serviceId,
    'com.docker.swarm.service.name': spec.serviceName,
  };
}

function taskHostConfig(spec: TaskContainerSpec, expand: (text: string) => string): HostConfig {
  const { container, limits, reservations } = spec;
  return {
    NetworkMode: networkMode(spec),
    Mounts: (container.Mounts ?? []).map((mount) => expandMount(mount, expand)),
    LogConfig: spec.logDriver
      ? { Type: spec.logDriver.name, Config: spec.logDriver.options }
      : undefined,
    ReadonlyRootfs: container.ReadOnly,
    Init: container.Init,
    GroupAdd: container.Groups,
    Dns: container.DNSConfig?.Nameservers,
    DnsSearch: container.DNSConfig?.Search,
    DnsOptions: container.DNSConfig?.Options,
    ExtraHosts: (container.Hosts ?? []).flatMap(hostEntries),
    Sysctls: container.Sysctls,
    CapAdd: container.CapabilityAdd,
    CapDrop: container.CapabilityDrop,
    Ulimits: container.Ulimits,
    OomScoreAdj: container.OomScoreAdj,
    SecurityOpt: securityOptions(container),
    NanoCpus: limits?.NanoCPUs,
    Memory: limits?.MemoryBytes,
    PidsLimit: limits?.Pids,
    MemoryReservation: reservations?.MemoryBytes,
    Devices: [
      ...(spec.devices ?? []).map((path) => ({ PathOnHost: path })),
      ...(spec.blockVolumes ?? []).map(({ path, target, readOnly }) => ({
        PathOnHost: path,
        PathInContainer: target,
        CgroupPermissions: readOnly ? 'r' : 'rw',
      })),
    ],
  };
}

/** The host's predefined networks are reached by name; everything else is an overlay. */
function networkMode(spec: TaskContainerSpec): string {
  const local = spec.networks.find(({ networkName }) =>
    ['host', 'none', 'bridge'].includes(networkName),
  );
  return local?.networkName ?? 'default';
}

/** `IP name name…` as `name:IP` each. */
function hostEntries(line: string): readonly string[] {
  const [address = '', ...names] = line.trim().split(/\s+/);
  return names.map((name) => `${name}:${address}`);
}

function securityOptions(container: ContainerSpec): readonly string[] {
  const { NoNewPrivileges, Seccomp } = container.Privileges ?? {};
  const options: string[] = [];
  if (NoNewPrivileges) options.push('no-new-privileges');
  if (Seccomp?.Mode === 'unconfined') options.push('seccomp=unconfined');
  if (Seccomp?.Mode === 'custom' && Seccomp.Profile) {
    options.push(`seccomp=${Buffer.from(Seccomp.Profile, 'base64').toString('utf8')}`);
  }
  return options;
}

function expandMount(mount: MountRequest, expand: (text: string) => string): MountRequest {
  return {
    ...mount,
    Source: expand(mount.Source ?? ''),
    Target: expand(mount.Target ?? ''),
  };
}

/**
 * The secret and config files of a task. A value that is missing is left to the caller's check.
 * @throws ClusterError `invalid` when a templated one names a field that does not exist
 */
export function taskFiles(spec: TaskContainerSpec): {
  readonly files: readonly TaskFile[];
  readonly missing: readonly string[];
} {
  const missing: string[] = [];
  const files: TaskFile[] = [];
  const facts = factsOf(spec);
  const contentOf = (
    id: string,
    values: ReadonlyMap<string, Uint8Array>,
  ): Uint8Array | undefined => {
    const bytes = values.get(id);
    if (!bytes || !spec.templated?.has(id)) return bytes;
    return Buffer.from(expandTemplate(Buffer.from(bytes).toString('utf8'), facts));
  };
  const add = (
    name: string,
    bytes: Uint8Array | undefined,
    place: { file: FileTargetSpec; directory: string },
  ): void => {
    if (!bytes) missing.push(name);
    else files.push(fileOf(bytes, place));
  };
  for (const secret of spec.container.Secrets ?? []) {
    const file = secret.File ?? { Name: secret.SecretName };
    add(`secret ${secret.SecretName}`, contentOf(secret.SecretID, spec.secrets), {
      file,
      directory: '/run/secrets',
    });
  }
  for (const config of spec.container.Configs ?? []) {
    if (!config.File) continue; // used by the runtime itself, not by the program
    add(`config ${config.ConfigName}`, contentOf(config.ConfigID, spec.configs), {
      file: config.File,
      directory: '',
    });
  }
  return { files, missing };
}

function fileOf(
  bytes: Uint8Array,
  { file, directory }: { readonly file: FileTargetSpec; readonly directory: string },
): TaskFile {
  return {
    target: file.Name.startsWith('/') ? file.Name : `${directory}/${file.Name}`,
    bytes,
    uid: Number(file.UID || 0),
    gid: Number(file.GID || 0),
    mode: file.Mode ?? FILE_MODE,
  };
}
