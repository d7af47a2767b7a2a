import { getSystemErrorName } from 'node:util';

const EINPROGRESS = 115;

/** A system call or netlink request that the kernel refused. */
export class SyscallError extends Error {
  override readonly name = 'SyscallError';
  readonly syscall: string;
  /** Positive errno. */
  readonly errno: number;
  /** `ENOENT`, … */
  readonly code: string;

  constructor(syscall: string, errno: number, detail = '') {
    const code = errnoName(errno);
    super(`${syscall}: ${code}${detail === '' ? '' : `, ${detail}`}`);
    this.syscall = syscall;
    this.errno = errno;
    this.code = code;
  }
}

function errnoName(errno: number): string {
  // Node has no name for what it never tells anybody.
  if (errno === EINPROGRESS) return 'EINPROGRESS';
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}

export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof SyscallError && codes.includes(error.code);
}
