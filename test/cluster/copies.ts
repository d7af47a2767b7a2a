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

/**
 * A process that has ended and was not waited for has no command line any more. What a copy starts has the copy's for a
 * moment, until it becomes the other program.
 */
function liveCopies(mark: string): readonly number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    try {
      if (!readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(mark)) continue;
      const [, parent] =
        readFileSync(`/proc/${name}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
      parents.set(Number(name), Number(parent));
    } catch {
      // It ended while it was looked at.
    }
  }
  return [...parents].filter(([, parent]) => !parents.has(parent)).map(([pid]) => pid);
}
