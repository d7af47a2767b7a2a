import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type Clock, type Logger, sleep } from '../io/index.ts';
import { errorMessage, type NodeDriver } from '../model/index.ts';
import { Driver } from './driver.ts';
import { describeNode } from './node.ts';

const SUFFIX = '.sock';
const LOOK_MS = 2_000;

/** The storage drivers of this host: every `NAME.sock` in one directory. */
export class Drivers {
  readonly #directory: string;
  readonly #known = new Map<string, Driver>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  get(name: string): Driver {
    const known = this.#known.get(name);
    if (known) return known;
    const driver = new Driver(name, join(this.#directory, `${name}${SUFFIX}`));
    this.#known.set(name, driver);
    return driver;
  }

  /** Of sockets that are there; in the order of their names. */
  names(): readonly string[] {
    return readdirSync(this.#directory)
      .filter((file) => file.endsWith(SUFFIX))
      .map((file) => file.slice(0, -SUFFIX.length))
      .sort();
  }

  /** Where drivers are to put their sockets. */
  makeDirectory(): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  close(): void {
    for (const driver of this.#known.values()) driver.close();
    this.#known.clear();
  }
}

/** Tells which drivers answer on this host, and again whenever that changes. Resolves when `signal` aborts. */
export async function followDrivers(options: {
  readonly drivers: Drivers;
  readonly onChange: (present: readonly NodeDriver[]) => void;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { drivers, onChange, clock, log, signal } = options;
  drivers.makeDirectory();
  const silent = new Map<string, string>();
  let before: readonly NodeDriver[] = [];
  while (!signal.aborted) {
    const present = await whoAnswers(drivers, silent, log);
    if (signal.aborted) break;
    if (!isDeepStrictEqual(present, before)) {
      before = present;
      log.info('CSI drivers', { names: present.map(({ name }) => name) });
      onChange(present);
    }
    await sleep(clock, LOOK_MS, signal).catch(() => undefined);
  }
}

/** `silent`: why others did not, last time; said once. */
async function whoAnswers(
  drivers: Drivers,
  silent: Map<string, string>,
  log: Logger,
): Promise<readonly NodeDriver[]> {
  const present: NodeDriver[] = [];
  for (const name of drivers.names()) {
    try {
      const found = await describeNode(drivers.get(name));
      if (found) present.push(found);
      silent.delete(name);
    } catch (error) {
      const reason = errorMessage(error);
      if (silent.get(name) !== reason) log.warn('CSI driver does not answer', { name, reason });
      silent.set(name, reason);
    }
  }
  return present;
}
