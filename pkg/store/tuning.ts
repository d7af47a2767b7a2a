import type { Tuning } from './contract.ts';

/** What suits production. */
export const TUNING: Tuning = {
  tickMs: 100,
  electionTicks: 10,
  heartbeatTicks: 1,
  snapshotEntries: 10_000,
  snapshotBytes: 32 * 1024 * 1024,
  trailingEntries: 500,
  logBytesMax: 64 * 1024 * 1024,
  segmentBytes: 16 * 1024 * 1024,
  requestsMax: 10_000,
  historyChanges: 10_000,
};
