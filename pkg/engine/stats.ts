/** ContainerStatsResponse, API v1.50. */
import { readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import type { ContainerStats } from '../runtime/index.ts';
import type { DockerJson } from './docker-shape.ts';
import { timeText } from './time.ts';

/** One reading of a container and of the machine. */
export interface Sample {
  readonly stats: ContainerStats;
  readonly systemNs: bigint;
  readonly networks: DockerJson;
}

const USER_HZ_NS = 10_000_000n;
const FIELDS = ['bytes', 'packets', 'errors', 'dropped'] as const;

export async function takeSample(stats: ContainerStats, pid: number): Promise<Sample> {
  return { stats, systemNs: await systemCpuNs(), networks: await networkCounters(pid) };
}

/** CPU time of all CPUs since boot, idle included: proc(5), first line of /proc/stat. */
async function systemCpuNs(): Promise<bigint> {
  const [first = ''] = (await readFile('/proc/stat', 'utf8')).split('\n');
  const ticks = first.trim().split(/\s+/).slice(1, 9);
  return ticks.reduce((sum, tick) => sum + BigInt(tick), 0n) * USER_HZ_NS;
}

/** /proc/<pid>/net/dev without the loopback. */
async function networkCounters(pid: number): Promise<DockerJson> {
  const text = await readFile(`/proc/${pid}/net/dev`, 'utf8').catch(() => '');
  const found: Record<string, DockerJson> = {};
  for (const line of text.split('\n').slice(2)) {
    const [name = '', rest = ''] = line.split(':');
    const link = name.trim();
    if (link === '' || link === 'lo') continue;
    const numbers = rest.trim().split(/\s+/).map(Number);
    const counters = FIELDS.flatMap((field, index) => [
      [`rx_${field}`, numbers[index] ?? 0],
      [`tx_${field}`, numbers[index + 8] ?? 0],
    ]);
    found[link] = Object.fromEntries(counters);
  }
  return found;
}

export function renderStats(
  container: { readonly id: string; readonly name: string },
  now: Sample,
  before: Sample | undefined,
): DockerJson {
  const { stats } = now;
  return {
    id: container.id,
    name: `/${container.name}`,
    read: timeText(stats.readAtNs),
    preread: before ? timeText(before.stats.readAtNs) : '0001-01-01T00:00:00Z',
    pids_stats: { current: stats.pids, ...(stats.pidsLimit > 0 ? { limit: stats.pidsLimit } : {}) },
    blkio_stats: {
      io_service_bytes_recursive: blkio(stats, 'bytes'),
      io_serviced_recursive: blkio(stats, 'ops'),
      io_queue_recursive: null,
      io_service_time_recursive: null,
      io_wait_time_recursive: null,
      io_merged_recursive: null,
      io_time_recursive: null,
      sectors_recursive: null,
    },
    num_procs: 0,
    storage_stats: {},
    cpu_stats: cpuStats(now),
    precpu_stats: before
      ? cpuStats(before)
      : { cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 } },
    memory_stats: {
      usage: stats.memoryBytes,
      max_usage: stats.memoryMaxBytes,
      stats: stats.memoryStat,
      limit: stats.memoryLimitBytes,
    },
    networks: now.networks,
  };
}

function cpuStats({ stats, systemNs }: Sample): DockerJson {
  return {
    cpu_usage: {
      total_usage: Number(stats.cpuUsageNs),
      usage_in_kernelmode: Number(stats.cpuSystemNs),
      usage_in_usermode: Number(stats.cpuUserNs),
    },
    system_cpu_usage: Number(systemNs),
    online_cpus: cpus().length,
    throttling_data: {
      periods: stats.totalPeriods,
      throttled_periods: stats.throttledPeriods,
      throttled_time: Number(stats.throttledNs),
    },
  };
}

function blkio(stats: ContainerStats, what: 'bytes' | 'ops'): readonly DockerJson[] {
  return stats.blkio.flatMap(({ major, minor, ...counts }) => [
    { major, minor, op: 'read', value: what === 'bytes' ? counts.readBytes : counts.readOps },
    { major, minor, op: 'write', value: what === 'bytes' ? counts.writeBytes : counts.writeOps },
  ]);
}
