import { LEADER_LOOPS } from '../../../cmd/manager/leader.ts';
import { Dispatcher } from '../../../pkg/dispatcher/index.ts';
import { type Logger, silentLogger } from '../../../pkg/io/index.ts';
import type { Caller, ManagerSession } from '../../../pkg/rpc/index.ts';
import { runControlLoop } from '../../../pkg/store/index.ts';
import type { World } from '../store/world.ts';
import { thatDecidingTakes } from './deciding-time.ts';
import type { Group, ManagerStore } from './group.ts';
import type { Links, Server } from './links.ts';
import { Machine } from './machine.ts';
import type { Plan } from './plan.ts';

export interface ManagerOptions {
  readonly world: World;
  readonly plan: Plan;
  readonly links: Links;
  readonly group: Group;
  /** A program error that a manager would write down and go on from. */
  readonly onError: (message: string, error: unknown) => void;
  readonly onStarted: (manager: Manager, store: ManagerStore) => void;
}

/** A manager process: the real control loop, deciders and dispatcher on a store of the group. */
export class Manager extends Machine implements Server {
  readonly raftId: number;
  readonly #options: ManagerOptions;
  #store: ManagerStore | undefined;
  #dispatcher: Dispatcher | undefined;
  /** Programs are never asked to end here, only killed. */

  constructor(raftId: number, address: string, options: ManagerOptions) {
    super(options.world, { nodeId: `manager${raftId}`, address }, options.plan.clockOffsetMs);
    this.raftId = raftId;
    this.#options = options;
  }

  get store(): ManagerStore {
    if (!this.#store) throw new Error(`manager ${this.raftId} does not run`);
    return this.#store;
  }

  start(): void {
    const { group, onStarted } = this.#options;
    this.begin();
    const store = group.start(this.raftId, this.clock());
    this.#store = store;
    onStarted(this, store);
    const parts = { store, clock: this.clock(), random: this.random() };
    // Of this process; one that is killed does not hear of it.
    const { signal } = new AbortController();
    const log = this.#logger();
    this.#dispatcher = new Dispatcher({ ...parts, log, credentials: this.credentials() });
    void this.#dispatcher.run(signal);
    const clock = thatDecidingTakes(parts.clock, this.world);
    void runControlLoop({ ...parts, clock, deciders: LEADER_LOOPS, logger: log, signal });
  }

  kill(told: boolean): void {
    if (!this.isUp) return;
    this.end();
    this.#store = undefined;
    this.#dispatcher = undefined;
    this.#options.group.kill(this.raftId);
    this.#options.links.gone(this, told);
  }

  async serve(stream: ManagerSession, caller: Caller): Promise<void> {
    if (!this.#dispatcher) return;
    await this.#dispatcher.serve(stream, caller);
  }

  #logger(): Logger {
    const { run } = this;
    const error = (message: string, fields?: { readonly error?: unknown }): void => {
      if (this.run === run) this.#options.onError(message, fields?.error);
    };
    return { ...silentLogger, error } as Logger;
  }
}
