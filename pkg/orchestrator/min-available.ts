import { minAvailableOf, serviceMode, servicePolicy } from '../model/index.ts';
import { isRunning } from './slot.ts';
import type { SlotKey, Workload } from './workload.ts';

/** Running slots that may be given up before the service has fewer than `muster.min-available`. */
export class Spare {
  readonly #work: Workload;
  #left: number;

  constructor(work: Workload, slots: readonly SlotKey[]) {
    this.#work = work;
    const mode = serviceMode(work.spec);
    const wanted = mode.kind === 'replicated' ? mode.replicas : slots.length;
    const least = minAvailableOf(servicePolicy(work.spec), wanted);
    const running = least === 0 ? 0 : slots.filter((slot) => this.#runs(slot)).length;
    this.#left = least === 0 ? Number.MAX_SAFE_INTEGER : running - least;
  }

  /** May the slot stop serving until its replacement runs? Counted when it may. */
  give(slot: SlotKey): boolean {
    if (!this.#runs(slot)) return true;
    if (this.#left <= 0) return false;
    this.#left -= 1;
    return true;
  }

  #runs(slot: SlotKey): boolean {
    return this.#work.tasks(slot).some(isRunning);
  }
}
