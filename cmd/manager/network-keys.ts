import { type Clock, type Logger, type Random, sleep } from '../../pkg/io/index.ts';
import {
  type Cluster,
  firstNetworkKeys,
  type InstantMs,
  type NetworkKeys,
  nextNetworkKeys,
  updateObject,
} from '../../pkg/model/index.ts';
import type { Store } from '../../pkg/store/index.ts';

const CHECK_MS = 5_000;
/** As often as Swarm. */
const PERIOD_MS = 12 * 60 * 60 * 1000;
const SECRET_BYTES = 32;

/** A new secret for the traffic of encrypted networks; the store keeps it as base64. */
export function makeNetworkKeys(random: Random, now: InstantMs): NetworkKeys {
  return firstNetworkKeys([secretFrom(random), secretFrom(random)], now);
}

/** While this manager leads, new keys for encrypted networks every twelve hours. Resolves when `signal` aborts. */
export async function rotateNetworkKeys(options: {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { store, clock, random, log, signal } = options;
  while (!signal.aborted) {
    await sleep(clock, CHECK_MS, signal).catch(() => undefined);
    const { cluster } = store.view;
    if (signal.aborted || !cluster || !store.isLeader() || !isDue(cluster, store.now())) continue;
    try {
      await store.update((draft) => {
        const present = draft.cluster;
        if (!present || !isDue(present, store.now())) return;
        const networkKeys = present.networkKeys
          ? nextNetworkKeys(present.networkKeys, secretFrom(random), store.now())
          : makeNetworkKeys(random, store.now());
        draft.add(updateObject('cluster', { ...present, networkKeys }));
      });
      log.info('keys of encrypted networks rotated');
    } catch (error) {
      log.warn('keys of encrypted networks not rotated', { error });
    }
  }
}

function isDue({ networkKeys }: Cluster, now: InstantMs): boolean {
  return networkKeys === undefined || now - networkKeys.rotatedAt >= PERIOD_MS;
}

function secretFrom(random: Random): string {
  return Buffer.from(random.bytes(SECRET_BYTES)).toString('base64');
}
