import { readFileSync } from 'node:fs';

/**
 * Field 22 of /proc/<pid>/stat (proc(5)): clock ticks from boot to the start of the process, which tell it from another
 * of the same number. Undefined when there is no such process, or only what is left of it: a zombie, which stays for ever
 * where the first process of a container waits for nobody.
 */
export function processStartTime(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The name in field 2 may hold spaces and parentheses.
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' || state === 'X' ? undefined : fields[18];
}
