import { existsSync, lstatSync, readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { release, totalmem } from 'node:os';
import type { CgroupDriver } from './cgroup/driver.ts';
import { type CgroupMounts, parseCgroupMounts } from './cgroup/hierarchy.ts';
import { CgroupV1 } from './cgroup/v1.ts';
import { CgroupV2 } from './cgroup/v2.ts';
import type { PlanFacts } from './container-plan.ts';
import type { DeviceNode } from './devices.ts';
import { caused, RuntimeError } from './runtime.ts';
import type { DeviceSpec } from './spec.ts';

/** What this machine offers, read once. */
export interface Machine {
  readonly cgroups: CgroupDriver;
  readonly facts: PlanFacts;
}

/** Throws `failed` where no cgroup tree is mounted. */
export function readMachine(): Machine {
  const mounts = parseCgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
  const [major = 0, minor = 0] = release().split('.').map(Number);
  const facts: PlanFacts = {
    // A named hierarchy (systemd's) has no limits, and the container is not in a cgroup of its own there.
    cgroupV1: [...mounts.v1.keys()].filter((name) => !name.startsWith('name=')),
    cgroupV2: !mounts.v2 ? 'none' : mounts.v1.size > 0 ? 'hybrid' : 'unified',
    isDirectory,
    seccomp: { arch: process.arch, kernel: { major, minor } },
    overlayOff: existsSync('/sys/module/overlay/parameters/index') ? 'index' : undefined,
  };
  return { cgroups: driver(mounts), facts };
}

/**
 * Where containers below this parent are in the v2 tree, which the machine may have beside those of v1; undefined when it
 * has none.
 * @param parent as `ContainerSpec.cgroupParent`
 */
export function cgroupV2Of(parent: string): string | undefined {
  const { v2 } = parseCgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
  return v2 === undefined ? undefined : v2 + parent;
}

function driver(mounts: CgroupMounts): CgroupDriver {
  if (mounts.v1.has('memory') || mounts.v1.has('pids')) return new CgroupV1(mounts, totalmem());
  if (mounts.v2 !== undefined) return new CgroupV2(mounts.v2, totalmem());
  throw new RuntimeError('failed', 'no cgroup file system is mounted');
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    throw caused(error, 'invalid', `bind source path does not exist: ${path}`);
  }
}

/** The host's device as a node for the container. Throws `invalid` when it is not a device. */
export function hostDevice(device: DeviceSpec): {
  readonly node: DeviceNode;
  readonly access: string;
} {
  // A link, such as those below /dev/serial/by-id, stands for its device.
  const stat = statSync(device.hostPath, { throwIfNoEntry: false });
  const node = deviceNode(stat, device.containerPath);
  if (!node) {
    throw new RuntimeError('invalid', `error gathering device information: ${device.hostPath}`);
  }
  return { node, access: device.permissions || 'rwm' };
}

/** All device nodes below /dev, for a privileged container. Terminals and shared memory are its own. */
export function allHostDevices(dir = '/dev'): readonly DeviceNode[] {
  const own = new Set(['/dev/pts', '/dev/shm', '/dev/mqueue', '/dev/console', '/dev/ptmx']);
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const path = `${dir}/${entry.name}`;
    if (own.has(path)) return [];
    if (entry.isDirectory()) return allHostDevices(path);
    return deviceNode(lstatSync(path, { throwIfNoEntry: false }), path) ?? [];
  });
}

function deviceNode(stat: Stats | undefined, path: string): DeviceNode | undefined {
  if (!stat?.isBlockDevice() && !stat?.isCharacterDevice()) return undefined;
  // makedev(3): 12 bits of major, 20 of minor, interleaved.
  const major = (stat.rdev >> 8) & 0xfff;
  const minor = (stat.rdev & 0xff) | ((stat.rdev >> 12) & 0xfff00);
  const { uid, gid } = stat;
  return {
    path,
    type: stat.isBlockDevice() ? 'b' : 'c',
    major,
    minor,
    mode: stat.mode & 0o777,
    uid,
    gid,
  };
}
