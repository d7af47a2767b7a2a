import { readFileSync } from 'node:fs';
import { cgroupAt, insideCgroup, type Words } from '../../pkg/overlaynet/testing/cgroup.ts';

/**
 * A program of the host's that runs in a container's network and cgroup, so that the kernel treats its sockets as the
 * container's own. It ends with the container.
 */
export function insideContainer(pid: number, ...words: Words): Words {
  const own = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
  const path = own.find((line) => line.startsWith('0::'))?.slice('0::'.length);
  const enter = ['nsenter', `--net=/proc/${pid}/ns/net`, '--', ...words] as const;
  const cgroup = path === undefined ? undefined : cgroupAt(path);
  return cgroup === undefined ? enter : insideCgroup(cgroup, ...enter);
}
