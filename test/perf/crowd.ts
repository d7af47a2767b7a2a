/** The program of many agents beside us, and what it counts. */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { AgentsAnswer, AgentsOrder } from './light-agents.ts';
import type { Managers } from './managers.ts';
import { bundle } from './measure.ts';

const LIMIT_MS = 240_000;
const NONE: AgentsAnswer = { joined: 0, assigned: 0, messages: 0, sessions: 0, connections: 0 };

export class Crowd {
  readonly #process: ChildProcess;
  counts = NONE;

  private constructor(program: string) {
    this.#process = fork(program, { execArgv: ['--max-old-space-size=4096'] });
    this.#process.on('message', (answer: AgentsAnswer) => {
      this.counts = answer;
    });
  }

  /** Nobody is there yet. `folder` takes the program. */
  static async start(folder: string): Promise<Crowd> {
    const program = join(folder, 'agents.mjs');
    await bundle('light-agents.ts', program);
    return new Crowd(program);
  }

  /** `count` more agents get certificates and begin sessions; `until` tells when. */
  join({ all, rootPem, workerToken }: Managers, count: number): void {
    const addresses = all.map(({ address }) => address);
    this.tell({ order: 'join', count, managers: addresses, rootPem, token: workerToken });
  }

  tell(order: AgentsOrder): void {
    this.#process.send(order);
  }

  async until(what: string, holds: (counts: AgentsAnswer) => boolean): Promise<void> {
    for (const end = Date.now() + LIMIT_MS; !holds(this.counts); await pause(5)) {
      if (this.#process.exitCode !== null) throw new Error('the agents ended');
      if (Date.now() > end) throw new Error(`${what}: ${JSON.stringify(this.counts)}`);
    }
  }

  get process(): ChildProcess {
    return this.#process;
  }

  end(): void {
    this.#process.kill('SIGKILL');
  }
}
