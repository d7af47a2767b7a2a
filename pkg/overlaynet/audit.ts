import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from '../io/index.ts';
import { type Change, EVERY_CHANGE, type Namespace, type Watch } from './kernel/kernel.ts';
import type { RepairReport } from './network.ts';
import { ownTurn } from './turns.ts';

/** So many calls of `repairChanged` pass before a namespace is looked at once more: nobody makes us do it all day. */
const REST_CALLS = 5;
/** A part rests so many times as long as it worked, and all of a round no longer than that. */
const RESTS = 6;
const REST_MAX_MS = 1_000;
const NOTHING: RepairReport = { repairs: 0, findings: [] };

/** Takes note of how many operations a part needed. */
export type Note = (what: string, count: number) => void;

/** What of the host is read back and put right together. */
export interface AuditedPart {
  /** It may have gone since the round began. */
  isThere(): boolean;
  /** Absent: what no event tells of. */
  readonly namespace?: Namespace | undefined;
  /** Puts right what `changes` may have touched. */
  look(changes: ReadonlySet<Change>, note: Note): void;
}

class Findings {
  readonly all: string[] = [];
  readonly note: Note = (what, count) => {
    if (count > 0) this.all.push(`${what}: ${count}`);
  };

  get report(): RepairReport {
    return { repairs: this.all.length, findings: this.all };
  }
}

/** Reads back what others may have changed, counts and logs what had to be put right. */
export class Audit implements Disposable {
  readonly #log: Logger;
  readonly #watch: Watch;
  #total = 0;
  readonly #changed = new Map<Namespace, ReadonlySet<Change>>();
  /** Calls until a namespace is looked at again. */
  readonly #resting = new Map<Namespace, number>();

  constructor(log: Logger, watch: Watch) {
    this.#log = log;
    this.#watch = watch;
  }

  /** Rounds that found something, since the beginning. */
  get total(): number {
    return this.#total;
  }

  /**
   * A turn of the event loop for each part, and a rest after it: a round takes a few times as long as its work, so that
   * changes of tables find this process waiting rather than at the end of what it may use of a busy processor.
   */
  async everything(parts: readonly AuditedPart[]): Promise<RepairReport> {
    const findings = new Findings();
    let rested = 0;
    try {
      for (const part of parts) {
        await ownTurn();
        const begun = performance.now();
        if (part.isThere()) part.look(EVERY_CHANGE, findings.note);
        const rest = Math.min(RESTS * (performance.now() - begun), REST_MAX_MS - rested);
        if (rest < 1) continue;
        await pause(rest, undefined, { ref: false });
        rested += rest;
      }
    } finally {
      this.#tell(findings);
    }
    return findings.report;
  }

  /** Only where somebody else changed something since the last call; `parts` are asked for when there is anything. */
  changed(parts: () => readonly AuditedPart[]): RepairReport {
    for (const [namespace, changes] of this.#watch.takeChanges()) {
      const known = this.#changed.get(namespace) ?? [];
      this.#changed.set(namespace, new Set([...known, ...changes]));
    }
    const awake = this.#awake();
    if (awake.size === 0) return NOTHING;
    const findings = new Findings();
    try {
      for (const { namespace, look } of parts()) {
        const changes = namespace && awake.get(namespace);
        if (changes) look(changes, findings.note);
      }
    } finally {
      this.#tell(findings);
    }
    return findings.report;
  }

  /** Listens for changes in it until it is forgotten. */
  listen(namespace: Namespace): void {
    this.#watch.add(namespace);
  }

  forget(namespace: Namespace): void {
    this.#watch.remove(namespace);
    this.#changed.delete(namespace);
    this.#resting.delete(namespace);
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }

  /** Takes out what is to be looked at now. */
  #awake(): ReadonlyMap<Namespace, ReadonlySet<Change>> {
    const awake = new Map(this.#changed);
    for (const [namespace, calls] of this.#resting) {
      awake.delete(namespace);
      if (calls > 1) this.#resting.set(namespace, calls - 1);
      else this.#resting.delete(namespace);
    }
    for (const namespace of awake.keys()) {
      this.#changed.delete(namespace);
      this.#resting.set(namespace, REST_CALLS);
    }
    return awake;
  }

  #tell({ all }: Findings): void {
    if (all.length === 0) return;
    this.#total += 1;
    this.#log.warn('network repaired', { findings: all, rounds: this.#total });
  }
}
