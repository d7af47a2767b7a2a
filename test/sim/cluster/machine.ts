import type { Clock, Random, Timer } from '../../../pkg/io/index.ts';
import type { InstantMs, NodeId } from '../../../pkg/model/index.ts';
import { Credentials, type Identity } from '../../../pkg/rpc/index.ts';
import type { World } from '../store/world.ts';
import type { Party } from './links.ts';

const EPOCH_MS = 1_700_000_000_000;

/** A host with one program on it that is started, killed, or stands still. */
export class Machine implements Party {
  readonly nodeId: NodeId;
  readonly address: string;
  readonly world: World;
  readonly #offsetMs: number;
  #run = 0;
  #up = false;
  #still = false;
  readonly #deferred: (() => void)[] = [];

  constructor(
    world: World,
    name: { readonly nodeId: string; readonly address: string },
    offsetMs: number,
  ) {
    this.world = world;
    this.nodeId = name.nodeId as NodeId;
    this.address = name.address;
    this.#offsetMs = world.random.between(-offsetMs, offsetMs);
  }

  get run(): number {
    return this.#run;
  }

  get isUp(): boolean {
    return this.#up;
  }

  get standsStill(): boolean {
    return this.#still;
  }

  protected begin(): void {
    this.#run++;
    this.#up = true;
    this.#still = false;
  }

  protected end(): void {
    this.#run++;
    this.#up = false;
    this.#still = false;
    this.#deferred.length = 0;
  }

  /** As after SIGSTOP: connections stay, nothing is read, no timer fires. */
  freeze(): void {
    if (this.#up) this.#still = true;
  }

  thaw(): void {
    this.#still = false;
    for (const action of this.#deferred.splice(0)) action();
  }

  whenRunning(run: number, action: () => void): void {
    if (run !== this.#run) return;
    if (this.#still) this.#deferred.push(action);
    else action();
  }

  now(): InstantMs {
    return Math.floor(EPOCH_MS + this.#offsetMs + this.world.now) as InstantMs;
  }

  /** Of the program that runs now: its timers end with it. */
  clock(): Clock {
    const run = this.#run;
    return {
      now: (): InstantMs => this.now(),
      monotonicMs: (): number => this.world.now,
      after: (delayMs, action): Timer => {
        let wanted = true;
        const cancel = (): void => {
          wanted = false;
        };
        // As Node's timers: whole milliseconds, at least one.
        this.world.after(Math.max(1, Math.trunc(delayMs)), () =>
          this.whenRunning(run, () => {
            if (wanted) action();
          }),
        );
        return { cancel, [Symbol.dispose]: cancel };
      },
    };
  }

  random(): Random {
    const { random } = this.world;
    return {
      float: (): number => random.next(),
      bytes: (count): Uint8Array => Uint8Array.from({ length: count }, () => random.below(256)),
    };
  }

  credentials(): Credentials {
    return new Credentials({ nodeId: this.nodeId, clusterId: 'cluster1' } as Identity);
  }
}
