/** What a host does for its tasks while no manager is there to replace them (promise L7). Pure. */
import { restartPolicy, type ServiceSpec, servicePolicy } from '../model/index.ts';

/** Restarts on this host that no manager asked for. */
export interface OwnRestarts {
  readonly total: number;
  /** Without a long run between them. */
  readonly inRow: number;
}

export const NO_RESTARTS: OwnRestarts = { total: 0, inRow: 0 };

/** Does the service's policy want the task to run again after this end? `exitCode` undefined: it was unhealthy. */
export function mayRestartHere(
  spec: ServiceSpec,
  exitCode: number | undefined,
  { total }: OwnRestarts,
): boolean {
  const { condition, maxAttempts } = restartPolicy(spec);
  if (condition === 'none' || (condition === 'on-failure' && exitCode === 0)) return false;
  return maxAttempts === 0 || total < maxAttempts;
}

/** Milliseconds between the end and the next start: the policy's delay, doubled with each restart in a row. */
export function ownRestartDelayMs(spec: ServiceSpec, { inRow }: OwnRestarts): number {
  const { delayMs } = restartPolicy(spec);
  return Math.min(delayMs * 2 ** Math.min(inRow, 30), longRunMs(spec));
}

/** Counts one more; `ranMs` is how long it ran before it ended. */
export function oneMore(
  spec: ServiceSpec,
  { total, inRow }: OwnRestarts,
  ranMs: number,
): OwnRestarts {
  return { total: total + 1, inRow: ranMs >= longRunMs(spec) ? 1 : inRow + 1 };
}

function longRunMs(spec: ServiceSpec): number {
  return Math.max(restartPolicy(spec).delayMs, servicePolicy(spec).restartMaxDelayMs);
}
