import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Run a program to its end; throws with its own words when it fails. */
export function run(program: string, ...args: readonly string[]): string {
  const done = spawnSync(program, args, { encoding: 'utf8' });
  if (done.status === 0) return done.stdout;
  const reason = done.error?.message ?? done.stderr.trim();
  throw new Error(`${program} ${args.join(' ')} failed: ${reason}`);
}

/** Like `run`, for clean-up: what is already gone is no failure. */
export function attempt(program: string, ...args: readonly string[]): void {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
  } catch {
    // Gone already, or never there; the leak check after `down` sees what really remains.
  }
}

export function isAlive(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    // A zombie has ended: its parent has just not asked yet.
    const state = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0];
    return state !== undefined && state !== 'Z' && state !== 'X';
  } catch {
    return false;
  }
}

export function signal(pid: number | undefined, name: NodeJS.Signals): boolean {
  if (pid === undefined || !isAlive(pid)) return false;
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

/** The process id in a file, if that process is alive. */
export function livePid(file: string): number | undefined {
  if (!existsSync(file)) return undefined;
  const pid = Number(readFileSync(file, 'utf8').trim().split(/\s+/)[0]);
  return Number.isInteger(pid) && pid > 1 && isAlive(pid) ? pid : undefined;
}

/** Poll until `condition` holds; the lab's own waits are on other programs, which have no events to give. */
export async function until(
  what: string,
  timeoutMs: number,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline)
      throw new Error(`gave up waiting for ${what} after ${timeoutMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Unmount everything at or below `folder`, deepest first. */
export function unmountBelow(folder: string): void {
  const targets = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[1] ?? '').replaceAll('\\040', ' '))
    .filter((target) => target === folder || target.startsWith(`${folder}/`));
  for (const target of targets.toReversed()) attempt('umount', '-l', target);
}

/** Mount points of every cgroup hierarchy, v1 controllers and v2. */
export function cgroupMounts(): readonly string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter((fields) => fields[2] === 'cgroup' || fields[2] === 'cgroup2')
    .map((fields) => fields[1] ?? '');
}

/** The hierarchy in which a host's processes are counted: v2 where there is one, else the first of v1. */
export function processHierarchy(): string {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  const v2 = mounts.find((line) => line.split(' ')[2] === 'cgroup2')?.split(' ')[1];
  const hierarchy = v2 ?? cgroupMounts()[0];
  if (!hierarchy) throw new Error('no cgroup hierarchy is mounted on this machine');
  return hierarchy;
}

/** All process ids in a cgroup and below it. */
export function processesBelow(cgroup: string): readonly number[] {
  if (!existsSync(cgroup)) return [];
  const own = readFileSync(join(cgroup, 'cgroup.procs'), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map(Number);
  return [...own, ...childGroups(cgroup).flatMap(processesBelow)];
}

export function removeCgroup(cgroup: string): void {
  if (!existsSync(cgroup)) return;
  for (const child of childGroups(cgroup)) removeCgroup(child);
  try {
    rmdirSync(cgroup);
  } catch {
    // Still in use by a process that is just ending: the caller tries again.
  }
}

function childGroups(cgroup: string): readonly string[] {
  return readdirSync(cgroup)
    .map((name) => join(cgroup, name))
    .filter((path) => statSync(path).isDirectory());
}
