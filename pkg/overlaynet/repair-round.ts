import type { Logger } from '../io/index.ts';
import type { RepairReport } from './network.ts';

/** Counts and logs what the audit had to put back. */
export class RepairRounds {
  readonly #log: Logger;
  #total = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Rounds that found something, since the beginning. */
  get total(): number {
    return this.#total;
  }

  /** @param look notes how many operations each part needed */
  run(look: (note: (what: string, count: number) => void) => void): RepairReport {
    const findings: string[] = [];
    look((what, count) => {
      if (count > 0) findings.push(`${what}: ${count}`);
    });
    if (findings.length > 0) {
      this.#total += 1;
      this.#log.warn('network repaired', { findings, rounds: this.#total });
    }
    return { repairs: findings.length, findings };
  }
}
