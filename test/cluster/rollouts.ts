/** Twenty updates and rollbacks in the middle of which the leader is killed, and how each of them has to go. */

const SECOND = 1e9;
const MILLISECOND = 1e6;

export interface UpdateConfig {
  readonly Parallelism?: number;
  readonly Delay?: number;
  readonly Monitor?: number;
  readonly Order?: 'start-first' | 'stop-first';
  readonly FailureAction?: 'pause' | 'continue' | 'rollback';
  readonly MaxFailureRatio?: number;
}

export interface Rollout {
  readonly update: UpdateConfig;
  readonly rollback?: UpdateConfig;
  /**
   * What the new version does: it serves; each of its tasks fails; those of even slots do; its image does not exist;
   * it asks for more than any node has.
   */
  readonly change: 'good' | 'bad' | 'half' | 'missing' | 'big';
  readonly global?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  /** Milliseconds from the update to each `kill -9` of the leading manager; it must still be going on then. */
  readonly kills: readonly number[];
  /** The user asks for the previous version so many milliseconds after the update. */
  readonly rollbackAfter?: number;
  readonly ends: 'completed' | 'paused' | 'rollback_completed';
  /** Tasks of the new version that failed, at least and at most; one task a slot, none is tried again. */
  readonly failed?: readonly [number, number];
  /** From the update to its end, at least and, unless the machine is busy, at most: what was waited for counts on. */
  readonly seconds: readonly [number, number];
  /** Also run by `update.test.ts`. */
  readonly inTests?: boolean;
}

/** Replicas of every service that is not global. */
export const SLOTS = 4;
/** Added to what an update takes undisturbed: an election, and the start of containers. */
const LATE_S = 4;

const slow = { Delay: 3 * SECOND, Monitor: SECOND };
/** A delay that a new leader began anew would be over too late. */
const slower = { Delay: 8 * SECOND, Monitor: SECOND };
const quick = { Monitor: 2 * SECOND };
/** Tasks that fail do it before the next slot is due, also when a new leader has to be found meanwhile. */
const watched = { Monitor: 3 * SECOND, Delay: 4 * SECOND };
const backQuickly = { Parallelism: 0, Monitor: 500 * MILLISECOND };

const within = (least: number): readonly [number, number] => [least, least + LATE_S];

export const ROLLOUTS: readonly Rollout[] = [
  { update: slow, change: 'good', kills: [2500], ends: 'completed', seconds: within(10) },
  { update: slow, change: 'good', kills: [2500, 8000], ends: 'completed', seconds: [10, 17] },
  {
    update: { ...slower, Parallelism: 2 },
    change: 'good',
    kills: [6000],
    ends: 'completed',
    seconds: within(9),
    inTests: true,
  },
  {
    update: { ...quick, Parallelism: 0 },
    change: 'good',
    kills: [50],
    ends: 'completed',
    seconds: within(2),
  },
  {
    update: { ...slow, Order: 'start-first' },
    change: 'good',
    kills: [4000],
    ends: 'completed',
    seconds: within(10),
  },
  {
    update: { ...slower, Order: 'start-first', Parallelism: 2 },
    change: 'good',
    kills: [6000],
    ends: 'completed',
    seconds: within(9),
  },
  {
    update: { ...quick, Order: 'start-first', Parallelism: 0 },
    change: 'good',
    kills: [50],
    ends: 'completed',
    seconds: within(2),
  },
  // The leader goes between the start of the first replacement and its failure.
  {
    update: { ...watched, Parallelism: 1 },
    change: 'bad',
    kills: [300],
    ends: 'paused',
    failed: [1, 1],
    seconds: within(1),
  },
  {
    update: { ...watched, FailureAction: 'rollback' },
    rollback: backQuickly,
    change: 'bad',
    kills: [300],
    ends: 'rollback_completed',
    failed: [1, 1],
    seconds: within(1),
  },
  {
    update: { ...watched, FailureAction: 'rollback', Order: 'start-first', Parallelism: 2 },
    rollback: backQuickly,
    change: 'bad',
    kills: [300],
    ends: 'rollback_completed',
    failed: [1, 2],
    seconds: within(1),
  },
  // Half of four may fail: the third failure is one too many, whoever counted the first.
  {
    update: { ...watched, MaxFailureRatio: 0.5 },
    change: 'bad',
    kills: [5500],
    ends: 'paused',
    failed: [3, 3],
    seconds: within(9),
  },
  {
    update: { ...watched, MaxFailureRatio: 0.25, FailureAction: 'rollback' },
    rollback: backQuickly,
    change: 'bad',
    kills: [2500],
    ends: 'rollback_completed',
    failed: [2, 2],
    seconds: within(5),
    inTests: true,
  },
  {
    update: { ...watched, Delay: 0, MaxFailureRatio: 0.5, FailureAction: 'rollback' },
    change: 'half',
    kills: [1000],
    ends: 'completed',
    failed: [2, 2],
    seconds: [3, 15],
  },
  {
    update: { ...watched, FailureAction: 'continue', Delay: SECOND },
    change: 'bad',
    kills: [2500],
    ends: 'completed',
    failed: [4, 4],
    seconds: [4, 15],
  },
  {
    update: { ...watched, Order: 'start-first' },
    change: 'missing',
    kills: [50],
    ends: 'paused',
    failed: [1, 1],
    seconds: [0, 10],
  },
  // Nothing fits: the deadline counts from the last that came up, not from the new leader.
  {
    update: { ...quick, Order: 'start-first' },
    change: 'big',
    labels: { 'muster.progress-deadline': '8s' },
    kills: [5500],
    ends: 'paused',
    seconds: [8, 12],
  },
  {
    update: { ...quick, FailureAction: 'rollback' },
    rollback: backQuickly,
    change: 'big',
    labels: { 'muster.progress-deadline': '8s' },
    kills: [5500],
    ends: 'rollback_completed',
    seconds: [8, 13],
  },
  {
    update: slow,
    rollback: { Parallelism: 1, Delay: SECOND, Monitor: SECOND },
    change: 'good',
    rollbackAfter: 4500,
    kills: [5000],
    ends: 'rollback_completed',
    seconds: [6, 18],
  },
  {
    update: { ...slow, Parallelism: 2 },
    change: 'good',
    global: true,
    kills: [2000],
    ends: 'completed',
    seconds: [7, 14],
  },
  {
    update: { ...watched, FailureAction: 'rollback', Parallelism: 2 },
    rollback: backQuickly,
    change: 'bad',
    global: true,
    kills: [300],
    ends: 'rollback_completed',
    failed: [1, 2],
    seconds: within(1),
  },
];

export function nameOf({ update, change, global, rollbackAfter, ends }: Rollout): string {
  const what = `${global ? 'global ' : ''}${change} ${JSON.stringify(update)}`;
  return `${what}${rollbackAfter === undefined ? '' : ', rolled back by hand'}: ${ends}`;
}
