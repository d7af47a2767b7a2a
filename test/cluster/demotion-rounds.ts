import type { Host } from '../../deploy/lab/host.ts';
import type { Lab } from '../../deploy/lab/lab.ts';
import { ContinuousWriter } from '../perf/writer.ts';
import { leadingHost, setRole } from './role.ts';

export interface DemotionRound {
  readonly kind: 'leader of three' | 'leader of two' | 'follower of two';
  /** The longest time without an acknowledged write, in milliseconds. */
  readonly gapMs: number;
  /** What writes were answered that were not acknowledged. */
  readonly failures: readonly string[];
}

const WRITES_AFTER = 10;

/**
 * Managers are demoted and promoted again while a client writes: the leader of three, `rounds` times; then, with the
 * third one as a worker, one of two, so that a single manager is left each time.
 * @throws Error when writes do not go on, or a role is not taken within a minute
 */
export async function* demotionRounds(lab: Lab, rounds: number): AsyncIterable<DemotionRound> {
  const [one, two, three] = lab.hosts;
  if (!one || !two || !three) throw new Error('this needs three managers');
  for (let at = 0; at < rounds; at++) {
    const leader = await leadingHost(one, lab.hosts);
    const ask = leader === one ? two : one;
    yield await round(leader, ask, 'leader of three', at);
  }
  await setRole(one, three, 'worker');
  for (let at = 0; at < rounds; at++) {
    const leader = await leadingHost(one, lab.hosts);
    const other = leader === one ? two : one;
    yield at % 2 === 0
      ? await round(leader, other, 'leader of two', at)
      : await round(other, leader, 'follower of two', at);
  }
}

async function round(
  demoted: Host,
  ask: Host,
  kind: DemotionRound['kind'],
  at: number,
): Promise<DemotionRound> {
  const writer = new ContinuousWriter([ask], `${kind.replaceAll(' ', '-')}-${at}`);
  try {
    await writer.more(WRITES_AFTER);
    const begun = performance.now();
    await setRole(ask, demoted, 'worker');
    await writer.more(WRITES_AFTER);
    await setRole(ask, demoted, 'manager');
    await writer.more(WRITES_AFTER);
    return { kind, gapMs: writer.gapSince(begun), failures: writer.failures };
  } finally {
    await writer.stop();
  }
}
