import { closeSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { processStartTime } from '../io/index.ts';
import { ClusterError } from '../model/index.ts';

export const LOCK_FILE = 'lock';

/**
 * Claim `directory` for this process until disposed. The claim of a process that ended without giving it back is taken
 * over: it names its holder by process id and start time, which together are never reused before a reboot.
 * @throws ClusterError conflict when a living process holds it
 */
export function lockDirectory(directory: string): Disposable {
  const path = `${directory}/${LOCK_FILE}`;
  const own = describeProcess(process.pid) ?? `${process.pid} unknown`;
  if (!tryCreate(path, own)) {
    const holder = readFileSync(path, 'utf8');
    const [pid = ''] = holder.split(' ');
    if (describeProcess(Number(pid)) === holder) {
      throw new ClusterError('conflict', `${directory} is in use by process ${pid}`);
    }
    const mine = `${path}.${process.pid}`;
    tryCreate(mine, own);
    renameSync(mine, path);
  }
  return {
    [Symbol.dispose]: (): void => unlinkSync(path),
  };
}

function tryCreate(path: string, content: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, 'wx', 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  writeSync(fd, content);
  closeSync(fd);
  return true;
}

/** Undefined when there is no such process, or only what is left of it. */
function describeProcess(pid: number): string | undefined {
  const startedAt = processStartTime(pid);
  return startedAt === undefined ? undefined : `${pid} ${startedAt}`;
}
