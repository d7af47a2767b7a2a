import { type Clock, sleep } from '../io/index.ts';
import type { NodeId } from '../model/index.ts';
import type { MemberStatus } from '../store/index.ts';

export interface LostHostsOptions {
  readonly clock: Clock;
  /** Whether the kernel of the host at host:port answers, if only to refuse. */
  readonly hostAnswers?: ((address: string) => Promise<boolean>) | undefined;
}

/** A manager says something every 100 ms. */
const SILENT_MS = 500;
const ASKED_TIMES = 2;
const PAUSE_MS = 200;

/**
 * Managers whose hosts are gone, with when they were last heard (monotonic). A process that ended closed its connections, one
 * that stands still is on a host whose kernel answers: both may have an agent beside them that is on its way to us.
 */
export async function lostHosts(
  members: readonly MemberStatus[],
  { clock, hostAnswers }: LostHostsOptions,
): Promise<readonly { readonly nodeId: NodeId; readonly heardAt: number }[]> {
  const now = clock.monotonicMs();
  const looks = members.map(async ({ nodeId, address, silentMs = 0 }) => {
    if (silentMs < SILENT_MS || !hostAnswers) return [];
    for (let asked = 0; asked < ASKED_TIMES; asked++) {
      if (asked > 0) await sleep(clock, PAUSE_MS);
      if (await hostAnswers(address)) return [];
    }
    return [{ nodeId, heardAt: now - silentMs }];
  });
  return (await Promise.all(looks)).flat();
}
