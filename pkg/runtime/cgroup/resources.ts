import { RuntimeError } from '../runtime.ts';
import type { Resources } from '../spec.ts';

const PERIOD_US = 100_000;
const MIN_MEMORY = 6 * 1024 * 1024;

/** Quota and period in microseconds; undefined when CPU time is not limited. */
export function cpuQuota(
  r: Resources,
): { readonly quota: number; readonly period: number } | undefined {
  const period = r.cpuPeriodUs || PERIOD_US;
  if (r.nanoCpus) return { quota: Math.round((r.nanoCpus * period) / 1e9), period };
  return r.cpuQuotaUs ? { quota: r.cpuQuotaUs, period } : undefined;
}

/** Memory plus swap as Docker reads it; undefined to leave it alone. */
export function memoryPlusSwap(r: Resources): number | undefined {
  if (r.memorySwapBytes === -1) return -1;
  if (r.memorySwapBytes) return r.memorySwapBytes;
  return r.memoryBytes ? r.memoryBytes * 2 : undefined;
}

/** Refuses what Docker's daemon refuses, in its words. */
export function checkResources(r: Resources): void {
  const { memoryBytes, memorySwapBytes } = r;
  if (memoryBytes && memoryBytes < MIN_MEMORY) {
    throw new RuntimeError('invalid', 'Minimum memory limit allowed is 6MB');
  }
  if (memoryBytes && memorySwapBytes && memorySwapBytes > 0 && memorySwapBytes < memoryBytes) {
    throw new RuntimeError(
      'invalid',
      'Minimum memoryswap limit should be larger than memory limit, see usage',
    );
  }
  if (r.nanoCpus && (r.nanoCpus < 0 || !Number.isInteger(r.nanoCpus))) {
    throw new RuntimeError('invalid', 'NanoCPUs must be a positive integer');
  }
  if (r.blkioWeight && (r.blkioWeight < 10 || r.blkioWeight > 1000)) {
    throw new RuntimeError('invalid', 'Range of blkio weight is from 10 to 1000');
  }
}
