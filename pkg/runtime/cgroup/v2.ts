import { existsSync } from 'node:fs';
import type { Placement } from '../container-plan.ts';
import { type DeviceRule, deviceFilter } from '../devices.ts';
import type { BlkioStat, ContainerStats } from '../runtime.ts';
import type { DeviceThrottle, Resources } from '../spec.ts';
import type { CgroupDriver } from './driver.ts';
import { get, getNumber, getTable, makeDir, put, putIfThere, removeDir } from './hierarchy.ts';
import { cpuQuota, memoryPlusSwap } from './resources.ts';

const CONTROLLERS = ['cpu', 'cpuset', 'memory', 'pids', 'io'];
const THROTTLE: Readonly<Record<DeviceThrottle['kind'], string>> = {
  readBps: 'rbps',
  writeBps: 'wbps',
  readIops: 'riops',
  writeIops: 'wiops',
};

/** Everything in the one v2 tree (kernel: Documentation/admin-guide/cgroup-v2). Devices by an eBPF filter. */
export class CgroupV2 implements CgroupDriver {
  readonly #root: string;
  readonly #machineMemory: number;

  constructor(root: string, machineMemory: number) {
    this.#root = root;
    this.#machineMemory = machineMemory;
  }

  create(path: string, resources: Resources): void {
    try {
      let parent = this.#root;
      for (const part of path.split('/').filter(Boolean)) {
        this.#enableControllers(parent);
        parent = `${parent}/${part}`;
        makeDir(parent);
      }
      this.update(path, resources);
    } catch (error) {
      this.remove(path);
      throw error;
    }
  }

  #enableControllers(dir: string): void {
    const have = new Set(get(`${dir}/cgroup.controllers`).split(' '));
    const on = new Set(get(`${dir}/cgroup.subtree_control`).split(' '));
    const missing = CONTROLLERS.filter((name) => have.has(name) && !on.has(name));
    if (missing.length > 0) {
      put(`${dir}/cgroup.subtree_control`, missing.map((name) => `+${name}`).join(' '));
    }
  }

  placement(path: string, devices: readonly DeviceRule[]): Placement {
    const dir = this.#root + path;
    const oomFile = `${dir}/memory.events`;
    return {
      v1Tasks: [],
      v2Dir: dir,
      oomFile: existsSync(oomFile) ? oomFile : undefined,
      deviceFilter: deviceFilter(devices),
    };
  }

  update(path: string, r: Resources): void {
    const dir = this.#root + path;
    updateMemory(dir, r);
    const quota = cpuQuota(r);
    if (quota) put(`${dir}/cpu.max`, `${quota.quota} ${quota.period}`);
    if (r.cpuShares) put(`${dir}/cpu.weight`, cpuWeight(r.cpuShares));
    if (r.cpusetCpus) put(`${dir}/cpuset.cpus`, r.cpusetCpus);
    if (r.cpusetMems) put(`${dir}/cpuset.mems`, r.cpusetMems);
    if (r.pidsLimit !== undefined) put(`${dir}/pids.max`, r.pidsLimit > 0 ? r.pidsLimit : 'max');
    if (r.blkioWeight) putIfThere(`${dir}/io.weight`, r.blkioWeight);
    for (const t of r.throttle ?? []) {
      put(`${dir}/io.max`, `${t.major}:${t.minor} ${THROTTLE[t.kind]}=${t.rate || 'max'}`);
    }
  }

  stats(path: string): Omit<ContainerStats, 'readAtNs'> {
    const dir = this.#root + path;
    const cpu = getTable(`${dir}/cpu.stat`);
    const us = (name: string): bigint => BigInt(cpu[name] ?? 0) * 1000n;
    const limit = getNumber(`${dir}/memory.max`, -1);
    return {
      cpuUsageNs: us('usage_usec'),
      cpuUserNs: us('user_usec'),
      cpuSystemNs: us('system_usec'),
      totalPeriods: cpu['nr_periods'] ?? 0,
      throttledPeriods: cpu['nr_throttled'] ?? 0,
      throttledNs: us('throttled_usec'),
      memoryBytes: getNumber(`${dir}/memory.current`),
      memoryMaxBytes: getNumber(`${dir}/memory.peak`),
      memoryLimitBytes: limit < 0 ? this.#machineMemory : Math.min(limit, this.#machineMemory),
      memoryStat: getTable(`${dir}/memory.stat`),
      pids: getNumber(`${dir}/pids.current`),
      pidsLimit: Math.max(0, getNumber(`${dir}/pids.max`)),
      blkio: existsSync(`${dir}/io.stat`) ? ioStats(get(`${dir}/io.stat`)) : [],
    };
  }

  freeze(path: string, frozen: boolean): void {
    put(`${this.#root}${path}/cgroup.freeze`, frozen ? 1 : 0);
  }

  isFrozen(path: string): boolean {
    return getNumber(`${this.#root}${path}/cgroup.freeze`) === 1;
  }

  killAll(path: string): void {
    const dir = this.#root + path;
    if (existsSync(dir)) put(`${dir}/cgroup.kill`, 1);
  }

  pids(path: string): readonly number[] {
    const file = `${this.#root}${path}/cgroup.procs`;
    return existsSync(file) ? get(file).split('\n').filter(Boolean).map(Number) : [];
  }

  remove(path: string): boolean {
    return removeDir(this.#root + path);
  }
}

function updateMemory(dir: string, r: Resources): void {
  if (r.memoryBytes) put(`${dir}/memory.max`, r.memoryBytes);
  if (r.memoryReservationBytes) put(`${dir}/memory.low`, r.memoryReservationBytes);
  const both = memoryPlusSwap(r);
  if (both === -1) putIfThere(`${dir}/memory.swap.max`, 'max');
  else if (both && r.memoryBytes) putIfThere(`${dir}/memory.swap.max`, both - r.memoryBytes);
}

/** Docker's shares (2..262144) on v2's scale (1..10000), the conversion the OCI runtime spec names. */
function cpuWeight(shares: number): number {
  const bounded = Math.min(262_144, Math.max(2, shares));
  return 1 + Math.floor(((bounded - 2) * 9999) / 262_142);
}

/** Lines `254:0 rbytes=1 wbytes=2 rios=3 wios=4 …`. */
function ioStats(text: string): readonly BlkioStat[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [device = '', ...pairs] = line.split(' ');
      const values = new Map(pairs.map((pair) => pair.split('=') as [string, string]));
      const [major, minor] = device.split(':').map(Number);
      const value = (name: string): number => Number(values.get(name) ?? 0);
      return {
        major: major ?? 0,
        minor: minor ?? 0,
        readBytes: value('rbytes'),
        writeBytes: value('wbytes'),
        readOps: value('rios'),
        writeOps: value('wios'),
      };
    });
}
