import { capabilityMask, resolveCapabilities } from './capabilities.ts';
import type { DeviceNode } from './devices.ts';
import { encodePlan, OPTION, type PlanRecord, TAG } from './init-plan.ts';
import { type MountFacts, mountRecords, protectionRecords } from './mounts.ts';
import { RuntimeError } from './runtime.ts';
import { cachedSeccomp, type SeccompTarget } from './seccomp/compile.ts';
import { DEFAULT_PROFILE } from './seccomp/default-profile.ts';
import type { ContainerSpec, ExecSpec, NamespaceMode, ProcessUser, Rlimit } from './spec.ts';

/** Where the container's processes are put (cgroup/driver.ts). */
export interface Placement {
  /** v1 `tasks` files. */
  readonly v1Tasks: readonly string[];
  readonly v2Dir?: string | undefined;
  /** A file with an `oom_kill` line. */
  readonly oomFile?: string | undefined;
  /** eBPF program for v2 machines, where no device controller exists. */
  readonly deviceFilter?: Uint8Array | undefined;
}

/** Everything about the machine that a plan depends on. */
export interface PlanFacts extends MountFacts {
  readonly seccomp: Omit<SeccompTarget, 'caps'>;
  /** An overlayfs option to switch off when the kernel knows it: `index`. */
  readonly overlayOff?: string | undefined;
}

const CLONE = {
  mount: 0x20000,
  cgroup: 0x2000000,
  uts: 0x4000000,
  ipc: 0x8000000,
  pid: 0x20000000,
  network: 0x40000000,
} as const;
const NAMESPACE_KINDS = ['cgroup', 'uts', 'ipc', 'pid', 'network'] as const;

/** RLIMIT_* by name (asm-generic/resource.h). */
const RLIMITS: Readonly<Record<string, number>> = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
};

const text = (tag: number, ...strings: string[]): PlanRecord => ({ tag, strings });
const number = (tag: number, ...numbers: (number | bigint)[]): PlanRecord => ({ tag, numbers });

/** ContainerSpec → InitPlan. Pure. Throws `invalid` for what cannot be carried out. */
export function containerPlan(
  spec: ContainerSpec,
  facts: PlanFacts,
  host: {
    readonly placement: Placement;
    /** Existing directory the overlay is mounted on (in the container's mount namespace only). */
    readonly mountPoint: string;
    readonly logPath: string;
    readonly nodes: readonly DeviceNode[];
  },
): Buffer {
  const options =
    (spec.tty ? OPTION.tty : 0) |
    (spec.openStdin ? OPTION.stdin : 0) |
    (spec.init ? OPTION.init : 0) |
    (spec.noNewPrivileges ? OPTION.noNewPrivs : 0) |
    (spec.readonlyRootfs ? OPTION.readonlyRoot : 0);
  const { flags, joins } = namespaces(spec);
  return encodePlan([
    number(TAG.flags, flags, options),
    ...joins,
    ...placementRecords(host.placement),
    ...logRecords(spec, host.logPath),
    ...(spec.fence
      ? [{ tag: TAG.fence, numbers: [spec.fence.ms], strings: [spec.fence.path] }]
      : []),
    ...rootRecords(spec, facts, host.mountPoint),
    ...mountRecords(spec, facts, host.nodes),
    ...sysctlRecords(spec),
    ...protectionRecords(spec),
    ...hostnameRecords(spec),
    number(TAG.oomAdj, (spec.oomScoreAdj ?? 0) + 1000),
    ...processRecords(spec, facts, {
      args: spec.args,
      env: spec.env,
      cwd: spec.cwd,
      user: spec.user,
      consoleSize: spec.consoleSize,
    }),
  ]);
}

/** ExecSpec → InitPlan for a process of a running container. */
export function execPlan(
  container: ContainerSpec,
  exec: ExecSpec,
  facts: PlanFacts,
  target: { readonly placement: Placement; readonly pid: number; readonly startTime: string },
): Buffer {
  const privileged = exec.privileged ?? container.privileged;
  const options =
    (exec.tty ? OPTION.tty : 0) |
    (exec.openStdin ? OPTION.stdin : 0) |
    (container.noNewPrivileges ? OPTION.noNewPrivs : 0);
  const all = Object.values(CLONE).reduce((sum, flag) => sum + flag, 0);
  return encodePlan([
    number(TAG.flags, all, options),
    number(TAG.target, target.pid, BigInt(target.startTime)),
    ...placementRecords({ ...target.placement, deviceFilter: undefined }),
    number(TAG.oomAdj, (container.oomScoreAdj ?? 0) + 1000),
    ...processRecords({ ...container, privileged }, facts, {
      args: exec.args,
      env: exec.env ?? container.env,
      cwd: exec.cwd ?? container.cwd,
      user: exec.user ?? container.user,
      consoleSize: exec.consoleSize,
    }),
  ]);
}

function namespaces(spec: ContainerSpec): { flags: number; joins: readonly PlanRecord[] } {
  const joins: PlanRecord[] = [];
  let flags: number = CLONE.mount;
  for (const kind of NAMESPACE_KINDS) {
    const mode: NamespaceMode = spec.namespaces?.[kind] ?? 'new';
    if (mode === 'new') flags += CLONE[kind];
    else if (mode !== 'host') {
      joins.push({ tag: TAG.join, numbers: [CLONE[kind]], strings: [mode.path] });
    }
  }
  return { flags, joins };
}

function placementRecords(placement: Placement): readonly PlanRecord[] {
  const { v1Tasks, v2Dir, oomFile, deviceFilter } = placement;
  return [
    ...v1Tasks.map((path) => text(TAG.cgroupV1, path)),
    ...(v2Dir ? [text(TAG.cgroupV2, v2Dir)] : []),
    ...(oomFile ? [text(TAG.oomFile, oomFile)] : []),
    ...(deviceFilter ? [{ tag: TAG.deviceBpf, blob: deviceFilter }] : []),
  ];
}

const DEFAULT_LOG_BYTES = 16 * 1024 * 1024;
const DEFAULT_LOG_FILES = 3;

function logRecords(spec: ContainerSpec, path: string): readonly PlanRecord[] {
  if (spec.log?.disabled) return [];
  const bytes = spec.log?.maxSizeBytes ?? DEFAULT_LOG_BYTES;
  const files = Math.max(1, spec.log?.maxFiles ?? DEFAULT_LOG_FILES);
  return [{ tag: TAG.log, numbers: [bytes, files], strings: [path] }];
}

function rootRecords(
  spec: ContainerSpec,
  facts: PlanFacts,
  mountPoint: string,
): readonly PlanRecord[] {
  if ('path' in spec.rootfs) return [text(TAG.rootBind, spec.rootfs.path)];
  const { lowerDirs, upperDir, workDir } = spec.rootfs;
  if (lowerDirs.length === 0) throw new RuntimeError('invalid', 'rootfs needs at least one layer');
  const quote = (path: string): string => path.replace(/[\\:,]/g, '\\$&');
  const off = facts.overlayOff ?? '';
  const whole = [
    `lowerdir=${lowerDirs.map(quote).join(':')}`,
    `upperdir=${quote(upperDir)}`,
    `workdir=${quote(workDir)}`,
    ...(off ? [`${off}=off`] : []),
  ].join(',');
  return [
    text(TAG.overlay, mountPoint, upperDir, workDir, off, whole),
    ...lowerDirs.map((dir) => text(TAG.lower, dir)),
  ];
}

const SYSCTL = /^(net\.|kernel\.(shm|msg|sem)|fs\.mqueue\.)/;

function sysctlRecords(spec: ContainerSpec): readonly PlanRecord[] {
  const ownNetwork = (spec.namespaces?.network ?? 'new') === 'new';
  // Docker's defaults for a network namespace of its own: low ports and ping without privileges.
  const defaults = ownNetwork
    ? { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647' }
    : {};
  return Object.entries({ ...defaults, ...spec.sysctls }).map(([name, value]) => {
    if (!SYSCTL.test(name)) {
      throw new RuntimeError('invalid', `sysctl "${name}" is not in a separate kernel namespace`);
    }
    if (name.startsWith('net.') && spec.namespaces?.network === 'host') {
      throw new RuntimeError('invalid', `sysctl "${name}" not allowed in host network namespace`);
    }
    return text(TAG.sysctl, `/proc/sys/${sysctlPath(name)}`, value);
  });
}

/** Dots separate, and a slash stands for a dot inside an interface name, as in sysctl(8). */
function sysctlPath(name: string): string {
  const swap: Readonly<Record<string, string>> = { '.': '/', '/': '.' };
  const path = name.replace(/[./]/g, (c) => swap[c] ?? c);
  if (path.split('/').includes('..')) {
    throw new RuntimeError('invalid', `invalid sysctl name: ${name}`);
  }
  return path;
}

function hostnameRecords(spec: ContainerSpec): readonly PlanRecord[] {
  if ((spec.namespaces?.uts ?? 'new') !== 'new') return [];
  return [
    ...(spec.hostname ? [text(TAG.hostname, spec.hostname)] : []),
    ...(spec.domainname ? [text(TAG.domain, spec.domainname)] : []),
  ];
}

interface ProcessPart {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd?: string | undefined;
  readonly user?: ProcessUser | undefined;
  readonly consoleSize?: { readonly rows: number; readonly cols: number } | undefined;
}

function processRecords(
  spec: ContainerSpec,
  facts: PlanFacts,
  part: ProcessPart,
): readonly PlanRecord[] {
  if (!part.args[0]) throw new RuntimeError('invalid', 'no command specified');
  const caps = resolveCapabilities({
    add: spec.capAdd,
    drop: spec.capDrop,
    privileged: spec.privileged,
  });
  const mask = capabilityMask(caps);
  const user = part.user ?? { uid: 0, gid: 0 };
  const size = part.consoleSize;
  return [
    ...(spec.rlimits ?? []).map(rlimitRecord),
    number(TAG.caps, mask, mask),
    number(TAG.user, user.uid, user.gid),
    ...(user.additionalGids ?? []).map((gid) => number(TAG.group, gid)),
    ...seccompRecords(spec, facts, caps),
    ...(size ? [number(TAG.windowSize, size.rows, size.cols)] : []),
    text(TAG.cwd, part.cwd || '/'),
    ...part.args.map((arg) => text(TAG.arg, arg)),
    ...part.env.map((entry) => text(TAG.env, entry)),
  ];
}

function seccompRecords(
  spec: ContainerSpec,
  facts: PlanFacts,
  caps: ReadonlySet<string>,
): readonly PlanRecord[] {
  const wanted = spec.seccomp ?? (spec.privileged ? 'unconfined' : 'default');
  if (wanted === 'unconfined' || spec.privileged) return [];
  const profile = wanted === 'default' ? DEFAULT_PROFILE : wanted;
  return [{ tag: TAG.seccomp, blob: cachedSeccomp(profile, { ...facts.seccomp, caps }) }];
}

function rlimitRecord(limit: Rlimit): PlanRecord {
  const resource = RLIMITS[limit.name.toLowerCase().replace(/^rlimit_/, '')];
  if (resource === undefined) {
    throw new RuntimeError('invalid', `invalid ulimit type: ${limit.name}`);
  }
  return number(TAG.rlimit, resource, limit.soft, limit.hard);
}
