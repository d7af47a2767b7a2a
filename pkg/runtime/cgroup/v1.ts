import { existsSync } from 'node:fs';
import type { Placement } from '../container-plan.ts';
import { type DeviceRule, formatDeviceRule } from '../devices.ts';
import type { BlkioStat, ContainerStats } from '../runtime.ts';
import type { DeviceThrottle, Resources } from '../spec.ts';
import { errorCode } from '../status.ts';
import type { CgroupDriver } from './driver.ts';
import {
  type CgroupMounts,
  get,
  getNumber,
  getTable,
  makeDir,
  put,
  putIfThere,
  removeDir,
} from './hierarchy.ts';
import { cpuQuota, memoryPlusSwap } from './resources.ts';

const USED = ['cpu', 'cpuacct', 'cpuset', 'memory', 'pids', 'devices', 'freezer', 'blkio'];
const THROTTLE: Readonly<Record<DeviceThrottle['kind'], string>> = {
  readBps: 'blkio.throttle.read_bps_device',
  writeBps: 'blkio.throttle.write_bps_device',
  readIops: 'blkio.throttle.read_iops_device',
  writeIops: 'blkio.throttle.write_iops_device',
};
/** v1 shows "no limit" as the largest page-aligned number. */
const UNLIMITED = 2 ** 62;

/**
 * Controllers in v1 hierarchies, one by one; freeze and kill through the v2 tree where the machine has mounted one
 * beside them (hybrid), because v2 can kill a frozen container and all of it at once.
 */
export class CgroupV1 implements CgroupDriver {
  readonly #mounts: CgroupMounts;
  /** Distinct mount points: `cpu,cpuacct` is often one. */
  readonly #roots: readonly string[];
  readonly #machineMemory: number;

  constructor(mounts: CgroupMounts, machineMemory: number) {
    this.#mounts = mounts;
    this.#machineMemory = machineMemory;
    const points = USED.map((name) => mounts.v1.get(name)).filter((at) => at !== undefined);
    this.#roots = [...new Set(points)];
  }

  create(path: string, resources: Resources, devices: readonly DeviceRule[]): void {
    try {
      for (const dir of this.#dirs(path)) makeDir(dir);
      this.#fillCpuset(path);
      const at = this.#dir('devices', path);
      if (at) {
        put(`${at}/devices.deny`, 'a');
        for (const rule of devices) put(`${at}/devices.allow`, formatDeviceRule(rule));
      }
      this.update(path, resources);
    } catch (error) {
      this.remove(path);
      throw error;
    }
  }

  placement(path: string): Placement {
    const memory = this.#dir('memory', path);
    return {
      v1Tasks: this.#roots.map((root) => `${root}${path}/tasks`),
      v2Dir: this.#v2(path),
      oomFile: memory ? `${memory}/memory.oom_control` : undefined,
    };
  }

  update(path: string, r: Resources): void {
    this.#updateMemory(path, r);
    this.#updateCpu(path, r);
    const cpuset = this.#dir('cpuset', path);
    if (cpuset && r.cpusetCpus) put(`${cpuset}/cpuset.cpus`, r.cpusetCpus);
    if (cpuset && r.cpusetMems) put(`${cpuset}/cpuset.mems`, r.cpusetMems);
    const pids = this.#dir('pids', path);
    if (pids && r.pidsLimit !== undefined) {
      put(`${pids}/pids.max`, r.pidsLimit > 0 ? r.pidsLimit : 'max');
    }
    const blkio = this.#dir('blkio', path);
    if (!blkio) return;
    if (r.blkioWeight) {
      putIfThere(`${blkio}/blkio.weight`, r.blkioWeight);
      putIfThere(`${blkio}/blkio.bfq.weight`, r.blkioWeight);
    }
    for (const t of r.throttle ?? []) {
      put(`${blkio}/${THROTTLE[t.kind]}`, `${t.major}:${t.minor} ${t.rate}`);
    }
  }

  #updateCpu(path: string, r: Resources): void {
    const at = this.#dir('cpu', path);
    if (!at) return;
    const quota = cpuQuota(r);
    if (quota) {
      put(`${at}/cpu.cfs_period_us`, quota.period);
      put(`${at}/cpu.cfs_quota_us`, quota.quota);
    }
    if (r.cpuShares) put(`${at}/cpu.shares`, Math.max(2, r.cpuShares));
  }

  /** The kernel wants memory <= memory+swap at every moment, so growing and shrinking go in opposite order. */
  #updateMemory(path: string, r: Resources): void {
    const at = this.#dir('memory', path);
    if (!at) return;
    if (r.memoryReservationBytes) {
      put(`${at}/memory.soft_limit_in_bytes`, r.memoryReservationBytes);
    }
    const both = memoryPlusSwap(r);
    const limit = `${at}/memory.limit_in_bytes`;
    const swapLimit = `${at}/memory.memsw.limit_in_bytes`;
    const haveSwap = existsSync(swapLimit);
    const growing = haveSwap && (both === -1 || (both ?? 0) > getNumber(swapLimit));
    if (haveSwap && both !== undefined && growing) put(swapLimit, both);
    if (r.memoryBytes) put(limit, r.memoryBytes);
    if (haveSwap && both !== undefined && !growing) put(swapLimit, both);
  }

  stats(path: string): Omit<ContainerStats, 'readAtNs'> {
    const cpuacct = this.#dir('cpuacct', path) ?? '';
    const cpu = getTable(`${this.#dir('cpu', path)}/cpu.stat`);
    const memory = this.#dir('memory', path) ?? '';
    const limit = getNumber(`${memory}/memory.limit_in_bytes`, UNLIMITED);
    const pids = this.#dir('pids', path) ?? '';
    return {
      cpuUsageNs: BigInt(getNumber(`${cpuacct}/cpuacct.usage`)),
      cpuUserNs: BigInt(getNumber(`${cpuacct}/cpuacct.usage_user`)),
      cpuSystemNs: BigInt(getNumber(`${cpuacct}/cpuacct.usage_sys`)),
      totalPeriods: cpu['nr_periods'] ?? 0,
      throttledPeriods: cpu['nr_throttled'] ?? 0,
      throttledNs: BigInt(cpu['throttled_time'] ?? 0),
      memoryBytes: getNumber(`${memory}/memory.usage_in_bytes`),
      memoryMaxBytes: getNumber(`${memory}/memory.max_usage_in_bytes`),
      memoryLimitBytes: Math.min(limit, this.#machineMemory),
      memoryStat: getTable(`${memory}/memory.stat`),
      pids: getNumber(`${pids}/pids.current`),
      pidsLimit: Math.max(0, getNumber(`${pids}/pids.max`)),
      blkio: blkioStats(this.#dir('blkio', path) ?? ''),
    };
  }

  freeze(path: string, frozen: boolean): void {
    const v2 = this.#v2(path);
    if (v2) put(`${v2}/cgroup.freeze`, frozen ? 1 : 0);
    else put(`${this.#dir('freezer', path)}/freezer.state`, frozen ? 'FROZEN' : 'THAWED');
  }

  isFrozen(path: string): boolean {
    const v2 = this.#v2(path);
    if (v2) return getNumber(`${v2}/cgroup.freeze`) === 1;
    const freezer = this.#dir('freezer', path);
    return (
      freezer !== undefined && existsSync(freezer) && get(`${freezer}/freezer.state`) !== 'THAWED'
    );
  }

  killAll(path: string): void {
    const v2 = this.#v2(path);
    if (v2 && existsSync(`${v2}/cgroup.kill`)) {
      put(`${v2}/cgroup.kill`, 1);
      return;
    }
    if (this.isFrozen(path)) this.freeze(path, false);
    for (const pid of this.pids(path)) killIfThere(pid);
  }

  pids(path: string): readonly number[] {
    const file = `${this.#v2(path) ?? this.#dir('pids', path)}/cgroup.procs`;
    return existsSync(file) ? get(file).split('\n').filter(Boolean).map(Number) : [];
  }

  remove(path: string): boolean {
    return this.#dirs(path).reduce((gone, dir) => removeDir(dir) && gone, true);
  }

  #dir(controller: string, path: string): string | undefined {
    const root = this.#mounts.v1.get(controller);
    return root === undefined ? undefined : root + path;
  }

  #v2(path: string): string | undefined {
    return this.#mounts.v2 === undefined ? undefined : this.#mounts.v2 + path;
  }

  #dirs(path: string): readonly string[] {
    const v2 = this.#v2(path);
    return [...this.#roots.map((root) => root + path), ...(v2 ? [v2] : [])];
  }

  /** A new v1 cpuset is empty and refuses tasks until it has CPUs and memory nodes. */
  #fillCpuset(path: string): void {
    const root = this.#mounts.v1.get('cpuset');
    if (root === undefined) return;
    let parent = root;
    for (const part of path.split('/').filter(Boolean)) {
      const at = `${parent}/${part}`;
      for (const file of ['cpuset.cpus', 'cpuset.mems']) {
        if (get(`${at}/${file}`) === '') put(`${at}/${file}`, get(`${parent}/${file}`));
      }
      parent = at;
    }
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}

/** Lines `254:0 Read 4096`. */
function blkioStats(dir: string): readonly BlkioStat[] {
  const devices = new Map<string, { -readonly [K in keyof BlkioStat]: BlkioStat[K] }>();
  const files = [
    ['blkio.throttle.io_service_bytes_recursive', 'readBytes', 'writeBytes'],
    ['blkio.throttle.io_serviced_recursive', 'readOps', 'writeOps'],
  ] as const;
  for (const [file, read, write] of files) {
    if (!existsSync(`${dir}/${file}`)) continue;
    for (const line of get(`${dir}/${file}`).split('\n')) {
      const match = /^(\d+):(\d+) (Read|Write) (\d+)$/.exec(line);
      if (!match) continue;
      const [, major, minor, kind, value] = match;
      const key = `${major}:${minor}`;
      const empty = { readBytes: 0, writeBytes: 0, readOps: 0, writeOps: 0 };
      const stat = devices.get(key) ?? { major: Number(major), minor: Number(minor), ...empty };
      stat[kind === 'Read' ? read : write] = Number(value);
      devices.set(key, stat);
    }
  }
  return [...devices.values()];
}
