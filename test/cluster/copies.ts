/** The live processes of one container program, on all hosts, watched without pause. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

const PAUSE_MS = 5;

export class CopyWatch {
  readonly #mark: string;
  readonly #running: Promise<void>;
  #stopped = false;
  /** Most that lived at once. */
  most = 0;
  samples = 0;
  /** Every process that was seen. */
  readonly seen = new Set<number>();

  /** `mark`: part of the command line of that program and of no other. */
  constructor(mark: string) {
    this.#mark = mark;
    this.#running = this.#watch();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #watch(): Promise<void> {
    while (!this.#stopped) {
      const alive = liveCopies(this.#mark);
      this.most = Math.max(this.most, alive.length);
      for (const pid of alive) this.seen.add(pid);
      this.samples += 1;
      await pause(PAUSE_MS);
    }
  }
}

/** A process that has ended and was not waited for has no command line any more. */
function liveCopies(mark: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(mark);
      } catch {
        return false;
      }
    });
}
