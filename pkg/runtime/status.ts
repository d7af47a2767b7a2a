import { readFileSync } from 'node:fs';
import type { ExitStatus } from './runtime.ts';

/** What a shim says about its process, in the `status` file it replaces as a whole. */
export interface ShimStatus {
  readonly state: 'created' | 'running' | 'exited';
  readonly pid: number;
  readonly pidStart: string;
  readonly shimPid: number;
  readonly shimStart: string;
  readonly startedAtNs: bigint;
  readonly exit?: ExitStatus | undefined;
}

/** undefined when the text is not a whole status. Pure. */
export function parseStatus(text: string): ShimStatus | undefined {
  const fields = new Map(
    text.split('\n').map((line): [string, string] => {
      const at = line.indexOf(' ');
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
  const get = (name: string): string => fields.get(name) ?? '0';
  const state = fields.get('state');
  if (state !== 'created' && state !== 'running' && state !== 'exited') return undefined;
  const base = {
    state,
    pid: Number(get('pid')),
    pidStart: get('pidstart'),
    shimPid: Number(get('shim')),
    shimStart: get('shimstart'),
    startedAtNs: BigInt(get('started')),
  } as const;
  if (state !== 'exited') return base;
  const signal = Number(get('signal'));
  return {
    ...base,
    exit: {
      code: Number(get('code')),
      signal: signal || undefined,
      oomKilled: get('oom') === '1',
      fenced: get('fenced') === '1',
      error: fields.get('error'),
      finishedAtNs: BigInt(get('finished')),
    },
  };
}

/** undefined when there is none (yet). */
export function readStatus(dir: string): ShimStatus | undefined {
  const text = readOptional(`${dir}/status`);
  return text === undefined ? undefined : parseStatus(text);
}

/** task_struct.flags, field 9 of /proc/<pid>/stat (include/linux/sched.h). */
const PF_EXITING = 4;

/**
 * Whether a process is on its way out, or gone. The first one of a pid namespace takes all others with it, and only then
 * is it seen to end: what is run in the container meanwhile fails for no reason of its own.
 */
export function isEnding(pid: number): boolean {
  const stat = readOptional(`/proc/${pid}/stat`);
  const flags = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[6];
  return flags === undefined || (Number(flags) & PF_EXITING) !== 0;
}

/**
 * What a shim says, and whether it lives. A shim writes the exit before it ends, so only one that was seen dead and whose
 * status was read after that can be called lost: it is looked at once, and its status again when it is gone.
 */
export function lookAtShim(
  read: () => ShimStatus | undefined,
  startTime: (pid: number) => string | undefined,
): { readonly status: ShimStatus | undefined; readonly alive: boolean } {
  const status = read();
  if (status === undefined || status.exit) return { status, alive: false };
  const alive = startTime(status.shimPid) === status.shimStart;
  return { status: alive ? status : read(), alive };
}

/** The file's text, or undefined when it (or its process, or its cgroup) is not there. */
export function readOptional(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'ESRCH' || code === 'ENOTDIR') {
      return undefined;
    }
    throw error;
  }
}

/** `code` of a Node system error. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;
}
