import type { Random } from '../raft/random.ts';

/** What one seed is about: how large, how slow, and what goes wrong how often. Milliseconds. */
export interface Plan {
  readonly workers: number;
  readonly durationMs: number;
  /** Between two wishes of the operator, on average. */
  readonly wishMs: number;
  /** Between two faults, on average. */
  readonly faultMs: number;
  /** A message between agent and manager takes up to … */
  readonly linkMs: number;
  /** An entry of the log takes up to … */
  readonly commitMs: number;
  /** A decision is written in pieces of so many changes. */
  readonly piece: number;
  /** Pulling an image, starting and stopping a program take up to … */
  readonly pullMs: number;
  readonly startMs: number;
  readonly stopMs: number;
  /** Chance that a good program ends by itself within a run of the simulation. */
  readonly exitChance: number;
  readonly clockOffsetMs: number;
  /** Chance that a replicated service is fenced. */
  readonly fenceChance: number;
}

export function drawPlan(random: Random): Plan {
  return {
    workers: 2 + random.below(4),
    durationMs: random.pick([8_000, 15_000, 25_000]),
    wishMs: random.pick([400, 1000, 2500]),
    faultMs: random.pick([700, 2000, 5000]),
    linkMs: random.pick([1, 5, 30]),
    commitMs: random.pick([2, 10, 60]),
    piece: random.pick([2, 5, 200, 200]),
    pullMs: random.pick([10, 200, 1500]),
    startMs: random.pick([5, 100, 600]),
    stopMs: random.pick([5, 300, 3000]),
    exitChance: random.pick([0, 0, 0.05, 0.2]),
    clockOffsetMs: random.pick([0, 50, 5000]),
    fenceChance: random.pick([0.25, 0.25, 0.25, 1]),
  };
}
