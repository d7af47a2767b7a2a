import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A program and its parameters. */
export type Words = readonly [string, ...string[]];

/** Where a cgroup of that path is in the v2 tree; undefined where the machine has none. */
export function cgroupAt(path: string): string | undefined {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  const [, tree] =
    mounts.map((line) => line.split(' ')).find(([, , type]) => type === 'cgroup2') ?? [];
  return tree && join(tree, path);
}

/** The command as one that enters the cgroup first. */
export function insideCgroup(cgroup: string, ...words: Words): Words {
  return ['sh', '-c', 'echo 0 > "$0/cgroup.procs" && exec "$@"', cgroup, ...words];
}
