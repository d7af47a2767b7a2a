import type { Clock } from '../../../pkg/io/index.ts';
import type { World } from '../store/world.ts';

/** After so long at most, once it let other work run, a leader goes on deciding. */
const TURN_MAX_MS = 6;

/**
 * A clock by which every step of a decision takes a millisecond or two, so that it pauses in the middle. Anew at every
 * instant: what is measured from one decision to another is the time of the world. That goes on meanwhile, by a few
 * milliseconds a turn: a pause does not last until something else happens somewhere, which may be a second.
 */
export function thatDecidingTakes(clock: Clock, world: World): Clock {
  let atMs = Number.NEGATIVE_INFINITY;
  let spentMs = 0;
  const monotonicMs = (): number => {
    const nowMs = clock.monotonicMs();
    if (nowMs !== atMs) world.after(world.random.between(1, TURN_MAX_MS), () => undefined);
    spentMs = nowMs === atMs ? spentMs + 1 : 0;
    atMs = nowMs;
    return nowMs + spentMs;
  };
  return {
    now: () => clock.now(),
    monotonicMs,
    after: (delayMs, action) => clock.after(delayMs, action),
  };
}
