import type { Workload } from './workload.ts';

/**
 * Give the service its previous spec back after a failed update. It becomes a version of its own, and there is then no
 * previous one: a rollback is never rolled back.
 */
export function rollBack(work: Workload, message: string): void {
  const { previousSpec, updateStatus, specVersion } = work.service;
  if (!previousSpec || !updateStatus) return;
  work.setService({
    spec: previousSpec,
    specVersion: specVersion + 1,
    previousSpec: undefined,
    previousSpecVersion: undefined,
    updateStatus: {
      state: 'rollback_started',
      startedAt: updateStatus.startedAt,
      message,
      slotsTotal: 0,
      failures: 0,
      active: [],
    },
  });
}
