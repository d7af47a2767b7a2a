import { closeSync, mkdirSync, openSync, rmSync, stat, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { syscall } from './libc.ts';
import { hasCode, SyscallError } from './syscall-error.ts';

const CLONE_NEWNET = 0x40000000;
const MS_BIND = 0x1000;
const MNT_DETACH = 2;
const EBADF = 9;
/** Main thread and worker threads differ, hence not /proc/self. */
const CURRENT = '/proc/thread-self/ns/net';
/** libuv's default; more are started when UV_THREADPOOL_SIZE says so, which warming covers as well. */
const POOL_SIZE_MAX = 128;

/** An open network namespace: stays alive until disposed, also when its last process ends. */
export class NetworkNamespace implements Disposable {
  readonly #fd: number;
  #open = true;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** For requests that name a namespace. A closed number may already mean another file, hence the check. */
  get fd(): number {
    if (!this.#open) throw new SyscallError('setns', EBADF, 'the namespace was closed');
    return this.#fd;
  }

  /** @param path `/proc/<pid>/ns/net`, a pinned file, or nothing for the calling thread's own */
  static open(path: string = CURRENT): NetworkNamespace {
    return new NetworkNamespace(openSync(path, 'r'));
  }

  /**
   * Runs `work` with this thread inside the namespace and comes home. `work` must be synchronous and must not start
   * threads or load modules: a thread born inside keeps the foreign namespace for ever. Sockets opened inside stay
   * there, which is the point. Processes spawned inside run there. If the way home fails the process aborts.
   */
  run<T>(work: () => T): T {
    const home = openSync(CURRENT, 'r');
    try {
      syscall('setns', this.fd, CLONE_NEWNET);
      try {
        return work();
      } finally {
        goHome(home);
      }
    } finally {
      closeSync(home);
    }
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
  }
}

/**
 * Starts every thread of the libuv pool now, so that none is born in a foreign namespace later. Await it once at start,
 * before the first `run`.
 */
export async function warmThreadPool(): Promise<void> {
  const one = (): Promise<void> =>
    new Promise((resolve) => {
      stat('/', () => resolve());
    });
  // The pool starts all its threads on first use; the rest proves that they came up.
  await one();
  await Promise.all(Array.from({ length: POOL_SIZE_MAX }, one));
}

/**
 * Makes a network namespace that lives until `removeNamespace`, pinned by a bind mount on `path`, which is created.
 * @throws SyscallError EBUSY never; an existing pin is left alone and the call returns false
 */
export function createNamespace(path: string): boolean {
  if (isNamespacePin(path)) return false;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '');
  const home = openSync(CURRENT, 'r');
  try {
    syscall('unshare', CLONE_NEWNET);
    try {
      syscall('mount', CURRENT, path, null, MS_BIND, null);
    } finally {
      goHome(home);
    }
  } finally {
    closeSync(home);
  }
  return true;
}

/** Removes the pin; the namespace ends with its last user. Missing pins are fine. */
export function removeNamespace(path: string): void {
  try {
    syscall('umount2', path, MNT_DETACH);
  } catch (error) {
    if (!hasCode(error, 'EINVAL', 'ENOENT')) throw error;
  }
  rmSync(path, { force: true });
}

/** True when `path` is a bind mount of a network namespace. */
export function isNamespacePin(path: string): boolean {
  try {
    // setns into the current user namespace's own net namespace needs a real nsfs file; anything else is EINVAL.
    using namespace = NetworkNamespace.open(path);
    namespace.run(() => undefined);
    return true;
  } catch (error) {
    if (error instanceof SyscallError && error.code === 'EINVAL') return false;
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function goHome(home: number): void {
  try {
    syscall('setns', home, CLONE_NEWNET);
  } catch {
    // Everything this process does from here on would happen in the wrong namespace.
    process.abort();
  }
}
