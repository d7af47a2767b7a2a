/** A client that writes all the time, one write after the other, and what it saw of an outage. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Host } from '../../deploy/lab/host.ts';
import { ApiClient } from './lab.ts';

const ATTEMPT_MS = 20_000;
/** Between two writes, so that the writer is not the load. Part of every gap. */
const PAUSE_MS = 5;

export class ContinuousWriter {
  readonly #clients: readonly ApiClient[];
  readonly #prefix: string;
  readonly #running: Promise<void>;
  /** When each write was acknowledged, in milliseconds of `performance.now`. */
  readonly #acknowledged: number[] = [];
  readonly failures: string[] = [];
  /** Name of the newest config that is known to be written. */
  newest = '';
  #stopped = false;

  /** Writes to the first host, and to the next one after each failure. `prefix` makes the names unique. */
  constructor(hosts: readonly Host[], prefix: string) {
    this.#clients = hosts.map((host) => new ApiClient(host.socket));
    this.#prefix = prefix;
    this.#running = this.#run();
  }

  get count(): number {
    return this.#acknowledged.length;
  }

  /** Resolves when as many more are acknowledged. @throws Error after a minute */
  async more(count: number): Promise<void> {
    const wanted = this.count + count;
    const deadline = performance.now() + 60_000;
    while (this.count < wanted) {
      if (performance.now() > deadline)
        throw new Error(`writes do not go on: ${this.failures.at(-1) ?? 'no answer'}`);
      await pause(PAUSE_MS);
    }
  }

  /** The longest time between two acknowledgements of which the second came after `from`, in milliseconds. */
  gapSince(from: number): number {
    let gap = 0;
    let before: number | undefined;
    for (const at of this.#acknowledged) {
      if (at >= from) gap = Math.max(gap, at - (before ?? from));
      before = at;
    }
    return gap;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    for (const client of this.#clients) client.close();
  }

  async #run(): Promise<void> {
    let at = 0;
    for (let number = 0; !this.#stopped; number++) {
      const client = this.#clients[at % this.#clients.length];
      const body = { Name: `${this.#prefix}-${number}`, Data: 'eA==' };
      try {
        await client?.call('POST', '/configs/create', body, ATTEMPT_MS);
        this.#acknowledged.push(performance.now());
        this.newest = body.Name;
      } catch (error) {
        this.failures.push(String(error));
        at++;
      }
      await pause(PAUSE_MS);
    }
  }
}
