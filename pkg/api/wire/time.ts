/** Go's zero time, which Docker prints for "never". */
export const TIME_ZERO = '0001-01-01T00:00:00Z';

const NANOS_PER_S = 1_000_000_000n;

/** RFC 3339 in UTC from milliseconds since the epoch. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

/** RFC 3339 in UTC with exactly nine decimals, as log lines carry it. */
export function nanoTimeText(ns: bigint): string {
  const seconds = new Date(Number(ns / NANOS_PER_S) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(ns % NANOS_PER_S).padStart(9, '0')}Z`;
}
