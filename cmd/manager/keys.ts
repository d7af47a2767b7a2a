import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LogKeys, needsUnlocking, type Store } from '../../pkg/store/index.ts';

const STDIN = 0;

/**
 * The keys of this manager's log. When it is locked the agent writes the unlock key to the standard input.
 * @throws ClusterError unavailable when it did not
 */
export function openKeys(dataDir: string): LogKeys {
  const folder = join(dataDir, 'manager');
  const file = join(folder, 'keys.json');
  const unlockKey = needsUnlocking(file) ? readFileSync(STDIN, 'utf8').trim() : undefined;
  return LogKeys.open(file, { begin: !existsSync(join(folder, 'raft')), unlockKey });
}

/** From now on the keys are kept as the cluster wants it, before whoever wanted it is answered. */
export function wrapKeys(store: Store, keys: LogKeys): void {
  store.watch(() => {
    const { cluster } = store.view;
    if (cluster) keys.follow(cluster.unlockKey, cluster.version);
  });
}
