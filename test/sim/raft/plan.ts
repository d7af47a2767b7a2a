import type { Config } from 'raft-js';
import type { Random } from './random.ts';

/** Length of a tick of the virtual clock. */
export const TICK = 10;

export type Tuning = Omit<Config, 'id' | 'storage' | 'random' | 'applied' | 'logger'> & {
  readonly electionTick: number;
};

/** What one seed does. Each seed draws its own rates, so that faults are rare in one run and common in another. */
export interface Plan {
  readonly seed: number;
  /** Nodes that exist; the first `members` of them begin as voters. */
  readonly nodes: number;
  readonly members: number;
  readonly config: Tuning;
  /** Clocks run alike and nothing is paused: what lease-based reads rely on. */
  readonly steadyClocks: boolean;
  readonly dropRate: number;
  readonly duplicateRate: number;
  readonly delayMax: number;
  readonly diskDelayMax: number;
  readonly applyDelayMax: number;
  /** Mean times between events, in units of time. */
  readonly crashEvery: number;
  /** Probability of a crash between a write and its sync. */
  readonly crashInWrite: number;
  readonly partitionEvery: number;
  readonly pauseEvery: number;
  readonly snapshotEvery: number;
  readonly proposeEvery: number;
  readonly readEvery: number;
  readonly confChangeEvery: number;
  readonly transferEvery: number;
}

const NEVER = Number.POSITIVE_INFINITY;
const LAGGING_SHARE = 11;
/** Slow appliers that get snapshots while the configuration changes. */
const LAGGING: Partial<Plan> = {
  applyDelayMax: 600,
  diskDelayMax: 80,
  snapshotEvery: 40,
  confChangeEvery: 70,
  partitionEvery: 120,
  proposeEvery: 8,
};

export function drawPlan(seed: number, random: Random): Plan {
  const members = random.pick([1, 2, 3, 3, 3, 4, 5]);
  const lease = random.chance(0.1);
  // Some seeds are about members that lag: what is rare elsewhere has to come together.
  const lagging = seed % LAGGING_SHARE === 0 ? LAGGING : {};
  const rare = (mean: number): number =>
    random.chance(0.3) ? NEVER : random.between(0.15, 3) * mean;
  return {
    seed,
    nodes: members + random.below(3),
    members,
    config: drawConfig(random, lease),
    steadyClocks: lease,
    dropRate: random.pick([0, 0.01, 0.05, 0.2]),
    duplicateRate: random.pick([0, 0.02, 0.2]),
    delayMax: random.pick([2, 10, 40]),
    diskDelayMax: random.pick([1, 5, 10, 80, 250]),
    applyDelayMax: random.pick([1, 5, 10, 150, 400]),
    crashEvery: rare(800),
    crashInWrite: random.pick([0, 0, 0.002]),
    partitionEvery: rare(600),
    pauseEvery: lease ? NEVER : rare(1500),
    snapshotEvery: rare(400),
    proposeEvery: random.between(5, 60),
    readEvery: random.between(4, 40),
    confChangeEvery: rare(300),
    transferEvery: rare(600),
    ...lagging,
  };
}

function drawConfig(random: Random, lease: boolean): Tuning {
  const checkQuorum = lease || random.chance(0.7);
  const maxSizePerMsg = random.pick([1, 64, 1024]);
  return {
    electionTick: random.pick([5, 10]),
    heartbeatTick: random.pick([1, 2]),
    asyncStorageWrites: random.chance(0.5),
    maxSizePerMsg,
    maxCommittedSizePerReady: random.pick([0, 1, 200]),
    maxUncommittedEntriesSize: random.pick([0, 0, 100]),
    maxInflightMsgs: random.pick([1, 3, 256]),
    maxInflightBytes: random.pick([0, 0, 1024]),
    checkQuorum,
    // With neither of the two, a member that was removed and does not know it can keep a group from electing anybody.
    preVote: random.chance(0.7) || !checkQuorum,
    readOnlyOption: lease ? 'lease-based' : 'safe',
    disableProposalForwarding: random.chance(0.2),
    // Without the check nothing is promised.
    disableConfChangeValidation: false,
    stepDownOnRemoval: random.chance(0.7),
  };
}
