import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** The last first: none may exceed the next. */
const NEIGHBOUR_LIMITS = { gc_thresh3: 16_384, gc_thresh2: 8_192, gc_thresh1: 4_096 } as const;

/**
 * What an agent does on a machine of its own; hosts that are network namespaces share one table and cannot.
 * Returns what puts the limits back.
 */
export function raiseNeighbourLimits(): () => void {
  const undo: (() => void)[] = [];
  for (const [name, wanted] of Object.entries(NEIGHBOUR_LIMITS)) {
    const path = `/proc/sys/net/ipv4/neigh/default/${name}`;
    const before = existsSync(path) ? readFileSync(path, 'utf8') : undefined;
    if (before === undefined)
      process.stderr.write(`${name} cannot be seen here: raise it before\n`);
    if (before === undefined || Number(before) >= wanted) continue;
    writeFileSync(path, String(wanted));
    undo.unshift(() => writeFileSync(path, before));
  }
  return () => {
    for (const put of undo) put();
  };
}
