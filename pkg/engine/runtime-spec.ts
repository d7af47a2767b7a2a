/** A container's record → what the runtime builds. Pure. */
import { ClusterError } from '../model/index.ts';
import type {
  ContainerSpec,
  DeviceThrottle,
  MountSpec,
  NamespaceMode,
  Propagation,
  Resources,
  RootFs,
  SeccompProfile,
} from '../runtime/index.ts';
import { type HostConfig, wordsOf } from './docker-shape.ts';
import type { ContainerRecord, ResolvedMount } from './record.ts';
import type { ResolvedUser } from './user.ts';

/** What must be looked up before. Paths are on the host. */
export interface SpecInputs {
  readonly rootfs: RootFs;
  readonly user: ResolvedUser;
  readonly volumePath: (name: string) => string;
  /** Files made for this container: target → source. */
  readonly files: readonly {
    readonly source: string;
    readonly target: string;
    readonly writable: boolean;
  }[];
  readonly logPath: string;
  /** What the fences of tasks go by. */
  readonly leasePath: string;
  readonly cgroupParent?: string | undefined;
  /** Network namespace to join; `new` for its own. */
  readonly network: NamespaceMode;
  readonly sharedNamespaces: { readonly pid?: NamespaceMode; readonly ipc?: NamespaceMode };
  /** Major and minor of a block device, for throttling. */
  readonly deviceNumber: (path: string) => { readonly major: number; readonly minor: number };
  readonly init: boolean;
}

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const TMPFS_MODE = 0o1777;
const UNITS: Readonly<Record<string, number>> = { b: 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 };

export function runtimeSpec(record: ContainerRecord, inputs: SpecInputs): ContainerSpec {
  const { hostConfig } = record;
  return {
    id: record.id,
    rootfs: inputs.rootfs,
    ...processPart(record, inputs),
    mounts: mountSpecs(record, inputs),
    ...confinement(hostConfig),
    ...limits(hostConfig, inputs),
    init: inputs.init || undefined,
    namespaces: {
      network: inputs.network,
      ...inputs.sharedNamespaces,
      uts: hostConfig.UTSMode === 'host' ? 'host' : 'new',
      cgroup: hostConfig.CgroupnsMode === 'host' ? 'host' : 'new',
    },
    shmSizeBytes: hostConfig.ShmSize || undefined,
    log: { path: inputs.logPath, ...logSpec(hostConfig) },
    fence: record.task?.fenceMs ? { path: inputs.leasePath, ms: record.task.fenceMs } : undefined,
  };
}

function processPart(
  record: ContainerRecord,
  inputs: SpecInputs,
): Pick<ContainerSpec, 'args' | 'env'> & Partial<ContainerSpec> {
  const { config, hostConfig } = record;
  const [rows, cols] = hostConfig.ConsoleSize ?? [];
  return {
    args: [...(wordsOf(config.Entrypoint) ?? []), ...(wordsOf(config.Cmd) ?? [])],
    env: environment(record, inputs.user.home),
    cwd: config.WorkingDir || '/',
    user: inputs.user,
    hostname: hostConfig.UTSMode === 'host' ? undefined : (config.Hostname ?? undefined),
    domainname: config.Domainname || undefined,
    tty: config.Tty ?? undefined,
    consoleSize: rows && cols ? { rows, cols } : undefined,
    openStdin: config.OpenStdin ?? undefined,
  };
}

function confinement(hostConfig: HostConfig): Partial<ContainerSpec> {
  const security = securityOptions(hostConfig.SecurityOpt ?? []);
  return {
    capAdd: hostConfig.CapAdd ?? undefined,
    capDrop: hostConfig.CapDrop ?? undefined,
    noNewPrivileges: security.noNewPrivileges,
    seccomp: security.seccomp,
    readonlyRootfs: hostConfig.ReadonlyRootfs ?? undefined,
    maskedPaths: hostConfig.MaskedPaths ?? undefined,
    readonlyPaths: hostConfig.ReadonlyPaths ?? undefined,
    privileged: hostConfig.Privileged || undefined,
  };
}

function limits(hostConfig: HostConfig, inputs: SpecInputs): Partial<ContainerSpec> {
  return {
    resources: resourcesOf(hostConfig, inputs.deviceNumber),
    rlimits: (hostConfig.Ulimits ?? []).map(({ Name, Soft, Hard }) => ({
      name: Name,
      soft: Soft,
      hard: Hard,
    })),
    sysctls: hostConfig.Sysctls ?? undefined,
    cgroupParent: hostConfig.CgroupParent || inputs.cgroupParent,
    devices: (hostConfig.Devices ?? []).map((device) => ({
      hostPath: device.PathOnHost ?? '',
      containerPath: device.PathInContainer || (device.PathOnHost ?? ''),
      permissions: device.CgroupPermissions || 'rwm',
    })),
    deviceCgroupRules: hostConfig.DeviceCgroupRules ?? undefined,
    oomScoreAdj: hostConfig.OomScoreAdj || undefined,
  };
}

/** The image's and the user's variables, completed with what every container has. */
function environment(record: ContainerRecord, home: string): readonly string[] {
  const own = record.config.Env ?? [];
  const has = (name: string): boolean => own.some((entry) => entry.startsWith(`${name}=`));
  const added: string[] = [];
  if (!has('PATH')) added.push(PATH);
  if (!has('HOSTNAME') && record.config.Hostname) added.push(`HOSTNAME=${record.config.Hostname}`);
  if (!has('TERM') && record.config.Tty) added.push('TERM=xterm');
  if (!has('HOME')) added.push(`HOME=${home}`);
  // A bare name removes the variable.
  return [...added, ...own.filter((entry) => entry.includes('='))];
}

function mountSpecs(record: ContainerRecord, inputs: SpecInputs): readonly MountSpec[] {
  const targets = new Set(record.mounts.map((mount) => mount.target));
  const files = inputs.files
    .filter((file) => !targets.has(file.target))
    .map(
      (file): MountSpec => ({
        type: 'bind',
        source: file.source,
        target: file.target,
        readOnly: !file.writable,
      }),
    );
  return [...record.mounts.map((mount) => mountSpec(mount, inputs)), ...files];
}

function mountSpec(mount: ResolvedMount, inputs: SpecInputs): MountSpec {
  switch (mount.type) {
    case 'bind':
      return {
        type: 'bind',
        source: mount.source,
        target: mount.target,
        readOnly: mount.readOnly,
        nonRecursive: mount.nonRecursive,
        propagation: mount.propagation as Propagation | undefined,
      };
    case 'volume': {
      const path = inputs.volumePath(mount.volume);
      const source = mount.subpath === undefined ? path : `${path}/${mount.subpath}`;
      return { type: 'bind', source, target: mount.target, readOnly: mount.readOnly };
    }
    case 'tmpfs':
      return { ...tmpfsOptions(mount.options), ...tmpfsOf(mount) };
  }
}

function tmpfsOf(mount: Extract<ResolvedMount, { type: 'tmpfs' }>): MountSpec & { type: 'tmpfs' } {
  return {
    type: 'tmpfs',
    target: mount.target,
    readOnly: mount.readOnly,
    ...(mount.sizeBytes === undefined ? {} : { sizeBytes: mount.sizeBytes }),
    ...(mount.modeBits === undefined ? {} : { mode: mount.modeBits }),
  };
}

/** `size=64m,mode=1770,exec,uid=1000` */
function tmpfsOptions(text: string): Partial<MountSpec & { type: 'tmpfs' }> {
  const words = text.split(',').filter(Boolean);
  const value = (key: string): string | undefined =>
    words.find((word) => word.startsWith(`${key}=`))?.slice(key.length + 1);
  const size = value('size');
  const mode = value('mode');
  const rest = words.filter((word) => /^(uid|gid|nr_inodes|nr_blocks)=/.test(word));
  return {
    sizeBytes: size === undefined ? undefined : parseBytes(size),
    mode: mode === undefined ? TMPFS_MODE : Number.parseInt(mode, 8),
    options: rest.length > 0 ? rest.join(',') : undefined,
    exec: words.includes('exec') || undefined,
  };
}

/** `64m`, `1g`, `1048576`. */
export function parseBytes(text: string): number {
  const match = /^(\d+)([bkmg])?b?$/i.exec(text.trim());
  if (!match) throw new ClusterError('invalid', `invalid size: '${text}'`);
  return Number(match[1]) * (UNITS[(match[2] ?? 'b').toLowerCase()] ?? 1);
}

/** Docker's resource fields, zero meaning absent. */
export function resourcesOf(
  hostConfig: HostConfig,
  deviceNumber: SpecInputs['deviceNumber'],
): Resources {
  const set = (value: number | null | undefined): number | undefined => value || undefined;
  return {
    memoryBytes: set(hostConfig.Memory),
    memorySwapBytes: set(hostConfig.MemorySwap),
    memoryReservationBytes: set(hostConfig.MemoryReservation),
    nanoCpus: set(hostConfig.NanoCpus),
    cpuQuotaUs: set(hostConfig.CpuQuota),
    cpuPeriodUs: set(hostConfig.CpuPeriod),
    cpuShares: set(hostConfig.CpuShares),
    cpusetCpus: hostConfig.CpusetCpus || undefined,
    cpusetMems: hostConfig.CpusetMems || undefined,
    pidsLimit: set(hostConfig.PidsLimit),
    blkioWeight: set(hostConfig.BlkioWeight),
    throttle: throttles(hostConfig, deviceNumber),
  };
}

function throttles(
  hostConfig: HostConfig,
  deviceNumber: SpecInputs['deviceNumber'],
): readonly DeviceThrottle[] | undefined {
  const rates = [
    ['readBps', hostConfig.BlkioDeviceReadBps],
    ['writeBps', hostConfig.BlkioDeviceWriteBps],
    ['readIops', hostConfig.BlkioDeviceReadIOps],
    ['writeIops', hostConfig.BlkioDeviceWriteIOps],
  ] as const;
  const all = rates.flatMap(([kind, list]) =>
    (list ?? []).map(({ Path, Rate }) => ({ ...deviceNumber(Path), kind, rate: Rate })),
  );
  return all.length > 0 ? all : undefined;
}

/** What this engine does anyway: no AppArmor, no SELinux. */
const HARMLESS = new Set(['apparmor=unconfined', 'label=disable']);

function securityOptions(options: readonly string[]): {
  readonly noNewPrivileges: boolean | undefined;
  readonly seccomp: 'unconfined' | SeccompProfile | undefined;
} {
  let noNewPrivileges: boolean | undefined;
  let seccomp: 'unconfined' | SeccompProfile | undefined;
  for (const option of options) {
    const match = /^([^=:]+)[=:]?(.*)$/s.exec(option);
    const key = match?.[1];
    const value = match?.[2] ?? '';
    if (key === 'no-new-privileges') noNewPrivileges = value !== 'false';
    else if (key === 'seccomp') seccomp = value === 'unconfined' ? value : parseProfile(value);
    else if (!HARMLESS.has(option.replace(':', '='))) {
      throw new ClusterError('invalid', `invalid --security-opt 2: "${option}"`);
    }
  }
  return { noNewPrivileges, seccomp };
}

const badProfile = (cause: unknown): ClusterError =>
  new ClusterError('invalid', 'decoding seccomp profile failed', { cause });

function parseProfile(text: string): SeccompProfile | undefined {
  if (text === 'builtin' || text === '') return undefined;
  try {
    return JSON.parse(text) as SeccompProfile;
  } catch (error) {
    throw badProfile(error);
  }
}

const LOG_FORMS = ['json-file', 'local', ''];

function logSpec(hostConfig: HostConfig): {
  disabled?: boolean | undefined;
  maxSizeBytes?: number | undefined;
  maxFiles?: number | undefined;
} {
  const type = hostConfig.LogConfig?.Type ?? '';
  if (type === 'none') return { disabled: true };
  if (!LOG_FORMS.includes(type)) {
    throw new ClusterError('invalid', `logger: no log driver named '${type}' is registered`);
  }
  const options = hostConfig.LogConfig?.Config ?? {};
  const size = options['max-size'];
  const files = options['max-file'];
  return {
    maxSizeBytes: size === undefined ? undefined : parseBytes(size),
    maxFiles: files === undefined ? undefined : Number(files),
  };
}
