import { type Clock, type Logger, sleep } from '../../pkg/io/index.ts';
import { errorMessage } from '../../pkg/model/index.ts';
import { type Credentials, type GroupMember, introduce, RpcClient } from '../../pkg/rpc/index.ts';
import type { Store } from '../../pkg/store/index.ts';

const PAUSE_FIRST_MS = 250;
const PAUSE_MAX_MS = 5_000;

/**
 * Says at each of `addresses` (host:port) where this manager is reached, until a manager answered there. For managers
 * of which so many have other addresses than the log says that they do not find each other: those named here learn of
 * this one, and it of them and of whom they know; among connected members it spreads by itself.
 */
export async function introduceTo(
  addresses: readonly string[],
  parts: {
    readonly store: Store;
    readonly self: GroupMember;
    readonly credentials: Credentials;
    readonly clock: Clock;
    readonly log: Logger;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const others = addresses.filter((address) => address !== parts.self.address);
  await Promise.all(others.map((address) => untilAnswered(address, parts)));
}

async function untilAnswered(
  address: string,
  { store, self, credentials, clock, log, signal }: Parameters<typeof introduceTo>[1],
): Promise<void> {
  let pauseMs = PAUSE_FIRST_MS;
  while (!signal.aborted) {
    const client = RpcClient.connect(address, credentials);
    try {
      const { by, members } = await introduce(client, self);
      store.introduced(by, members);
      log.info('introduced to another manager', { member: by, address });
      return;
    } catch (error) {
      const level = pauseMs < PAUSE_MAX_MS ? 'debug' : 'warn';
      log[level]('no manager answers there yet', { address, reason: errorMessage(error) });
    } finally {
      client.close();
    }
    await sleep(clock, pauseMs, signal).catch(() => undefined);
    pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS);
  }
}
