import type { Clock } from '../io/index.ts';
import type { NodeId } from '../model/index.ts';
import type { Member, Store } from '../store/index.ts';

export interface LeaderWaitOptions {
  readonly store: Pick<Store, 'leader'>;
  readonly clock: Clock;
  /** This manager. */
  readonly nodeId: () => NodeId;
  /** This manager leads, and knows all that was written. */
  readonly leads: () => boolean;
}

/** An agent takes a manager that says nothing for three heartbeats for dead. */
const ELECTION_MS = 2_000;
const LOOK_MS = 50;

/** Another manager that leads. */
export function otherLeader({ store, nodeId }: LeaderWaitOptions): Member | undefined {
  const leader = store.leader();
  return leader?.nodeId === nodeId() ? undefined : leader;
}

/**
 * Until it is known who leads, or for a moment. While a leader is elected agents wait here instead of going from manager
 * to manager: every connection costs the next leader the time that it needs for all of them.
 */
export async function leaderKnown(options: LeaderWaitOptions): Promise<void> {
  const { clock, leads } = options;
  const until = clock.monotonicMs() + ELECTION_MS;
  while (!leads() && !otherLeader(options) && clock.monotonicMs() < until) {
    await new Promise<void>((resolve) => clock.after(LOOK_MS, resolve));
  }
}
