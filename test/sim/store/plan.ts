import type { Random } from '../raft/random.ts';
import type { DiskManners } from './sim-disk.ts';
import type { NetworkManners } from './sim-network.ts';

/** What one seed is about: faults are rare in some and common in others. */
export interface Plan {
  readonly network: NetworkManners;
  readonly disk: DiskManners;
  /** Milliseconds between two faults, on average. */
  readonly faultMs: number;
  readonly clients: number;
  readonly durationMs: number;
  readonly snapshotEntries: number;
  readonly segmentBytes: number;
  /** Each member's clock runs up to this much faster or slower. */
  readonly clockDrift: number;
  readonly clockOffsetMs: number;
  /** How long a client waits for its writes. */
  readonly patienceMs: number;
  /** Changes that a member remembers for followers. */
  readonly historyChanges: number;
  /** Machines are removed and added. */
  readonly replaces: boolean;
  /** Each member encrypts its files, and takes a new key now and then. */
  readonly encrypted: boolean;
  /** How often a machine comes back under another address. */
  readonly moveChance: number;
}

export function drawPlan(random: Random): Plan {
  const sometimes = (chance: number, value: number): number => (random.chance(chance) ? value : 0);
  return {
    network: {
      delayMs: random.pick([2, 10, 40]),
      lossChance: sometimes(0.5, random.between(0.005, 0.15)),
      strayChance: sometimes(0.5, random.between(0.01, 0.1)),
      strayMs: random.pick([400, 2500]),
    },
    disk: {
      syncMs: random.pick([1, 5, 20]),
      slowChance: sometimes(0.4, random.between(0.02, 0.2)),
      slowMs: random.pick([100, 400]),
      survives: random.pick(['nothing', 'prefix', 'sectors']),
    },
    faultMs: random.pick([300, 800, 2000]),
    clients: 2 + random.below(4),
    durationMs: random.pick([4000, 7000]),
    snapshotEntries: random.pick([12, 40, 10_000]),
    segmentBytes: random.pick([4096, 16_384]),
    clockDrift: random.pick([0, 0.05, 0.2]),
    clockOffsetMs: random.pick([0, 50, 5000]),
    patienceMs: random.pick([600, 3000, 20_000]),
    historyChanges: random.pick([4, 30, 10_000]),
    replaces: random.chance(0.5),
    encrypted: random.chance(0.3),
    moveChance: sometimes(0.5, 0.7),
  };
}
