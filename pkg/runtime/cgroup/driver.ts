import type { Placement } from '../container-plan.ts';
import type { DeviceRule } from '../devices.ts';
import type { ContainerStats } from '../runtime.ts';
import type { Resources } from '../spec.ts';

/**
 * The cgroups of containers. Paths are relative to the hierarchies' roots (`/muster/lab/h1/<id>`). Calls are
 * synchronous: each is a handful of system calls on a memory file system.
 */
export interface CgroupDriver {
  /** Makes the cgroup and its missing parents, with limits. Nothing is left behind on failure. */
  create(path: string, resources: Resources, devices: readonly DeviceRule[]): void;
  /** What the shim needs to put the container there. */
  placement(path: string, devices: readonly DeviceRule[]): Placement;
  update(path: string, resources: Resources): void;
  stats(path: string): Omit<ContainerStats, 'readAtNs'>;
  freeze(path: string, frozen: boolean): void;
  isFrozen(path: string): boolean;
  /** SIGKILL to every process in it, also a frozen one. */
  killAll(path: string): void;
  /** Processes in it, in no order. */
  pids(path: string): readonly number[];
  /** Removes the cgroup (not its parents). False while the kernel still finds it busy. */
  remove(path: string): boolean;
}
