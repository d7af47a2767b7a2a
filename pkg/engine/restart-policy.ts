/** When a standalone container is started again (docs.docker.com, "Start containers automatically"). Pure. */
import type { RestartPolicySpec } from './docker-shape.ts';

const FIRST_DELAY_MS = 100;
const DELAY_MAX_MS = 60_000;
/** A run this long proves the start was good: the delay begins anew. */
const GOOD_RUN_MS = 10_000;

export interface RunOutcome {
  readonly exitCode: number;
  readonly restartCount: number;
  readonly stoppedByUser: boolean;
  readonly ranMs: number;
  /** Before this run. */
  readonly delayMs: number;
}

/** The delay before the next start, or undefined when it stays down. */
export function restartDelay(
  policy: RestartPolicySpec | null | undefined,
  outcome: RunOutcome,
): number | undefined {
  if (outcome.stoppedByUser || !wants(policy, outcome)) return undefined;
  if (outcome.ranMs > GOOD_RUN_MS || outcome.delayMs === 0) return FIRST_DELAY_MS;
  return Math.min(outcome.delayMs * 2, DELAY_MAX_MS);
}

function wants(policy: RestartPolicySpec | null | undefined, outcome: RunOutcome): boolean {
  switch (policy?.Name) {
    case 'always':
    case 'unless-stopped':
      return true;
    case 'on-failure': {
      const most = policy.MaximumRetryCount || Number.POSITIVE_INFINITY;
      return outcome.exitCode !== 0 && outcome.restartCount < most;
    }
    default:
      return false;
  }
}

/** Whether the engine starts it when the engine itself starts. */
export function startsWithEngine(
  policy: RestartPolicySpec | null | undefined,
  last: {
    readonly exitCode: number;
    readonly stoppedByUser: boolean;
    readonly wasRunning: boolean;
  },
): boolean {
  switch (policy?.Name) {
    case 'always':
      return true;
    case 'unless-stopped':
      return !last.stoppedByUser;
    case 'on-failure':
      return last.wasRunning && last.exitCode !== 0 && !last.stoppedByUser;
    default:
      return false;
  }
}
