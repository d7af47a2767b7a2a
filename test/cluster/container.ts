import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A program of the test's and its parameters. */
export type Words = readonly [string, ...string[]];

/**
 * A program of the host's that runs in a container's network and cgroup, so that the kernel treats its sockets as the
 * container's own. It ends with the container.
 */
export function insideContainer(pid: number, ...words: Words): Words {
  const own = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
  const path = own.find((line) => line.startsWith('0::'))?.slice('0::'.length);
  const enter = ['nsenter', `--net=/proc/${pid}/ns/net`, '--', ...words] as const;
  const tree = v2Tree();
  if (path === undefined || tree === undefined) return enter;
  return ['sh', '-c', 'echo 0 > "$0/cgroup.procs" && exec "$@"', join(tree, path), ...enter];
}

/** Where the machine has mounted the v2 tree of cgroups. */
export function v2Tree(): string | undefined {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  return mounts.map((line) => line.split(' ')).find(([, , type]) => type === 'cgroup2')?.[1];
}
