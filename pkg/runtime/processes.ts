import type { ContainerProcess } from './runtime.ts';
import { readOptional } from './status.ts';

/** One row of `top` from /proc; undefined when the process has ended. */
export function describeProcess(pid: number): ContainerProcess | undefined {
  const stat = readOptional(`/proc/${pid}/stat`);
  const status = readOptional(`/proc/${pid}/status`);
  const cmdline = readOptional(`/proc/${pid}/cmdline`);
  if (stat === undefined || status === undefined || cmdline === undefined) return undefined;
  const comm = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
  // proc_pid_stat(5), counted from field 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const args = cmdline.split('\0').slice(0, -1);
  return {
    pid,
    ppid: Number(fields[1]),
    uid: Number(/^Uid:\s+(\d+)/m.exec(status)?.[1] ?? 0),
    cpuTicks: Number(fields[11]) + Number(fields[12]),
    startTime: fields[19] ?? '0',
    tty: Number(fields[4]),
    args: args.length > 0 ? args : [`[${comm}]`],
  };
}
