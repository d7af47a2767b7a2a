import { DEFAULT_NODES, type DeviceNode } from './devices.ts';
import { type PlanRecord, TAG } from './init-plan.ts';
import { RuntimeError } from './runtime.ts';
import type { ContainerSpec, MountSpec, Propagation } from './spec.ts';

// mount(2) flags and mount_setattr(2) attributes.
const MS = { ro: 1, nosuid: 2, nodev: 4, noexec: 8, bind: 4096, strictatime: 1 << 24 } as const;
const ATTR = { ro: 1, noexec: 8 } as const;
const PRIVATE = 1 << 18;
const SLAVE = 1 << 19;
const SAFE = MS.nosuid | MS.nodev | MS.noexec;
/** Bits of the fourth number of a mount record. */
const RECURSIVE = 1;
const FILE = 2;

/** What the plan needs to know about the machine for its mounts. */
export interface MountFacts {
  /** v1 hierarchies to show, and whether a v2 tree exists. */
  readonly cgroupV1: readonly string[];
  readonly cgroupV2: 'none' | 'unified' | 'hybrid';
  /** True when the path is a directory on the host. */
  readonly isDirectory: (path: string) => boolean;
}

/** Docker's lists (moby `oci/defaults.go` documents them): information leaks and kernel switches. */
const MASKED = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];
const READONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];
const DEFAULT_SHM = 64 * 1024 * 1024;

interface FsMount {
  readonly source: string;
  readonly target: string;
  readonly type: string;
  readonly flags: number;
  readonly data?: string | undefined;
}

const fsRecord = (m: FsMount): PlanRecord => ({
  tag: TAG.mount,
  numbers: [m.flags, 0, 0, 0],
  strings: [m.source, m.target, m.type, m.data ?? ''],
});

/** File systems every container has, then its own mounts, device nodes and links, in the order they are made. */
export function mountRecords(
  spec: ContainerSpec,
  facts: MountFacts,
  nodes: readonly DeviceNode[],
): readonly PlanRecord[] {
  const own = [...(spec.mounts ?? [])];
  const covered = new Set(own.map((mount) => mount.target));
  const standard = standardMounts(spec, facts).filter((mount) => !covered.has(mount.target));
  return [
    ...standard.map(fsRecord),
    ...(spec.namespaces?.ipc === 'host' && !covered.has('/dev/shm')
      ? [bindRecord({ type: 'bind', source: '/dev/shm', target: '/dev/shm' }, facts)]
      : []),
    ...[...DEFAULT_NODES, ...nodes].map(deviceRecord),
    ...links(),
    ...own.map((mount) => userMount(mount, facts)),
  ];
}

function standardMounts(spec: ContainerSpec, facts: MountFacts): readonly FsMount[] {
  const sysFlags = SAFE | (spec.privileged ? 0 : MS.ro);
  const shm = spec.shmSizeBytes ?? DEFAULT_SHM;
  const ipcHost = spec.namespaces?.ipc === 'host';
  const mounts: FsMount[] = [
    { source: 'proc', target: '/proc', type: 'proc', flags: SAFE },
    {
      source: 'tmpfs',
      target: '/dev',
      type: 'tmpfs',
      flags: MS.nosuid | MS.strictatime,
      data: 'mode=755,size=65536k',
    },
    {
      source: 'devpts',
      target: '/dev/pts',
      type: 'devpts',
      flags: MS.nosuid | MS.noexec,
      data: 'newinstance,ptmxmode=0666,mode=0620,gid=5',
    },
    { source: 'sysfs', target: '/sys', type: 'sysfs', flags: sysFlags },
    ...cgroupMounts(facts, sysFlags),
  ];
  if (ipcHost) return mounts;
  return [
    ...mounts,
    {
      source: 'shm',
      target: '/dev/shm',
      type: 'tmpfs',
      flags: SAFE,
      data: `mode=1777,size=${shm}`,
    },
    { source: 'mqueue', target: '/dev/mqueue', type: 'mqueue', flags: SAFE },
  ];
}

/** The container's own view of the cgroup trees: its cgroup namespace makes its cgroup the root. */
function cgroupMounts(facts: MountFacts, flags: number): readonly FsMount[] {
  const at = '/sys/fs/cgroup';
  if (facts.cgroupV2 === 'unified') {
    return [{ source: 'cgroup', target: at, type: 'cgroup2', flags }];
  }
  const v1 = facts.cgroupV1.map(
    (name): FsMount => ({
      source: 'cgroup',
      target: `${at}/${name}`,
      type: 'cgroup',
      flags,
      data: name,
    }),
  );
  const unified: readonly FsMount[] =
    facts.cgroupV2 === 'hybrid'
      ? [{ source: 'cgroup', target: `${at}/unified`, type: 'cgroup2', flags }]
      : [];
  const top: FsMount = {
    source: 'tmpfs',
    target: at,
    type: 'tmpfs',
    flags: SAFE,
    data: 'mode=755,size=64k',
  };
  return [top, ...v1, ...unified];
}

function deviceRecord(d: DeviceNode): PlanRecord {
  const type = d.type === 'b' ? 0o060000 : 0o020000;
  return {
    tag: TAG.device,
    numbers: [type | d.mode, d.major, d.minor, d.uid, d.gid],
    strings: [d.path],
  };
}

function links(): readonly PlanRecord[] {
  const pairs: readonly [string, string][] = [
    ['/proc/self/fd', '/dev/fd'],
    ['/proc/self/fd/0', '/dev/stdin'],
    ['/proc/self/fd/1', '/dev/stdout'],
    ['/proc/self/fd/2', '/dev/stderr'],
    ['/proc/kcore', '/dev/core'],
    ['pts/ptmx', '/dev/ptmx'],
  ];
  return pairs.map(([text, path]) => ({ tag: TAG.link, strings: [text, path] }));
}

function userMount(mount: MountSpec, facts: MountFacts): PlanRecord {
  if (!mount.target.startsWith('/')) {
    throw new RuntimeError('invalid', `mount target must be an absolute path: ${mount.target}`);
  }
  if (mount.type === 'bind') return bindRecord(mount, facts);
  const data = [
    `mode=${(mount.mode ?? 0o1777).toString(8)}`,
    ...(mount.sizeBytes ? [`size=${mount.sizeBytes}`] : []),
    ...(mount.options ? [mount.options] : []),
  ];
  const flags = MS.nosuid | MS.nodev | (mount.exec ? 0 : MS.noexec) | (mount.readOnly ? MS.ro : 0);
  return fsRecord({
    source: 'tmpfs',
    target: mount.target,
    type: 'tmpfs',
    flags,
    data: data.join(','),
  });
}

const PROPAGATION: Readonly<Record<Propagation, number>> = {
  private: PRIVATE,
  rprivate: PRIVATE,
  slave: SLAVE,
  rslave: SLAVE,
};

function bindRecord(
  mount: Extract<MountSpec, { readonly type: 'bind' }>,
  facts: MountFacts,
): PlanRecord {
  const attributes = (mount.readOnly ? ATTR.ro : 0) | (mount.noExec ? ATTR.noexec : 0);
  const bits = (mount.nonRecursive ? 0 : RECURSIVE) | (facts.isDirectory(mount.source) ? 0 : FILE);
  const propagation = PROPAGATION[mount.propagation ?? 'rprivate'];
  return {
    tag: TAG.mount,
    numbers: [MS.bind, attributes, propagation, bits],
    strings: [mount.source, mount.target, '', ''],
  };
}

/** Paths made read-only and unreadable, after everything is mounted. */
export function protectionRecords(spec: ContainerSpec): readonly PlanRecord[] {
  const lists = spec.privileged ? { ro: [], masked: [] } : { ro: READONLY, masked: MASKED };
  const record =
    (tag: number) =>
    (path: string): PlanRecord => ({ tag, strings: [path] });
  return [
    ...(spec.readonlyPaths ?? lists.ro).map(record(TAG.readonly)),
    ...(spec.maskedPaths ?? lists.masked).map(record(TAG.mask)),
  ];
}
