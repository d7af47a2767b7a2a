import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { caused } from '../runtime.ts';
import { errorCode, readOptional } from '../status.ts';

/** Where the machine has mounted its cgroup trees. We use them as they are and mount nothing. */
export interface CgroupMounts {
  /** v1 controller (or `name=systemd`) → mount point. */
  readonly v1: ReadonlyMap<string, string>;
  readonly v2?: string | undefined;
}

/** From the text of /proc/self/mountinfo (proc_pid_mountinfo(5)). Pure. The last mount of a controller wins. */
export function parseCgroupMounts(mountinfo: string): CgroupMounts {
  const v1 = new Map<string, string>();
  let v2: string | undefined;
  for (const line of mountinfo.split('\n')) {
    const [front = '', back = ''] = line.split(' - ');
    const mountPoint = front.split(' ')[4] ?? '';
    const [type, , options = ''] = back.split(' ');
    if (type === 'cgroup2') v2 = mountPoint;
    if (type !== 'cgroup') continue;
    for (const option of options.split(',')) {
      if (CONTROLLERS.has(option) || option.startsWith('name=')) v1.set(option, mountPoint);
    }
  }
  return { v1, v2 };
}

const CONTROLLERS: ReadonlySet<string> = new Set([
  'cpu',
  'cpuacct',
  'cpuset',
  'memory',
  'devices',
  'freezer',
  'blkio',
  'pids',
  'net_cls',
  'net_prio',
  'perf_event',
  'hugetlb',
  'rdma',
  'misc',
]);

/** Writes one value; the error names the file and the value. */
export function put(file: string, value: string | number): void {
  try {
    writeFileSync(file, String(value));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw caused(error, 'failed', `write ${value} to ${file}: ${reason}`);
  }
}

/** Writes one value where the kernel has the file at all. */
export function putIfThere(file: string, value: string | number): void {
  if (readOptional(file) !== undefined) put(file, value);
}

export function get(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw caused(error, 'failed', `read ${file}`);
  }
}

/** A single number; -1 for `max`; `absent` when the file is not there. */
export function getNumber(file: string, absent = 0): number {
  const text = readOptional(file)?.trim();
  if (text === undefined || text === '') return absent;
  return text === 'max' ? -1 : Number(text);
}

/** Lines of `name value`. */
export function getTable(file: string): Readonly<Record<string, number>> {
  const lines = (readOptional(file) ?? '').trim().split('\n');
  return Object.fromEntries(
    lines.filter(Boolean).map((line) => {
      const [name = '', value] = line.split(' ');
      return [name, Number(value)];
    }),
  );
}

export function makeDir(dir: string): void {
  mkdirSync(dir, { recursive: true });
}

/** False while busy; true when it is gone. */
export function removeDir(dir: string): boolean {
  try {
    rmdirSync(dir);
    return true;
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') return true;
    if (code === 'EBUSY' || code === 'ENOTEMPTY') return false;
    throw error;
  }
}
