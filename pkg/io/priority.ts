import { readdirSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';

const NICE = -10;
const THREADS = '/proc/self/task';
/** Where the kernel groups processes by session, nice values count within a group, and this one is the group's (sched(7)). */
const GROUP = '/proc/self/autogroup';

/**
 * This process runs ahead of the containers of its host: an agent or a manager that waits for a processor for a few seconds
 * is taken for dead, and then there is more to do for all.
 * Where that is not allowed it runs like everybody else.
 */
export function goFirst(): void {
  for (const raise of [threadsGoFirst, (): void => writeFileSync(GROUP, String(NICE))]) {
    try {
      raise();
    } catch {
      // No such kernel feature, or not root.
    }
  }
}

/**
 * Linux counts nice values by thread. V8 began its helpers before this program: the main thread stands still in a garbage
 * collection until they have done their part. Threads that begin later inherit it.
 */
function threadsGoFirst(): void {
  for (const thread of readdirSync(THREADS)) setPriority(Number(thread), NICE);
}
