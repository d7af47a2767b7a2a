import { silentLogger } from '../../../pkg/io/index.ts';
import type { NetworkTable, NodeDescription } from '../../../pkg/model/index.ts';
import { type ManagerLink, type RecordFile, Worker } from '../../../pkg/worker/index.ts';
import type { World } from '../store/world.ts';
import type { Links } from './links.ts';
import { Machine } from './machine.ts';
import type { Plan } from './plan.ts';
import { type RuntimeWitness, SimRuntime } from './runtime.ts';

export interface HostOptions {
  readonly world: World;
  readonly plan: Plan;
  readonly links: Links;
  readonly witness: RuntimeWitness;
  readonly managers: readonly string[];
}

/** A machine with the real worker on pretended containers and a pretended kernel. */
export class Host extends Machine {
  readonly runtime: SimRuntime;
  readonly #options: HostOptions;
  /** What its kernel forwards by. */
  tables: readonly NetworkTable[] = [];
  #records: unknown;
  #kept: readonly NetworkTable[] = [];
  #abort = new AbortController();

  constructor(name: { readonly nodeId: string; readonly address: string }, options: HostOptions) {
    super(options.world, name, options.plan.clockOffsetMs);
    this.#options = options;
    this.runtime = new SimRuntime(options.world, options.plan, options.witness);
  }

  start(): void {
    const { links, managers } = this.#options;
    this.begin();
    const { run } = this;
    this.#abort = new AbortController();
    const records: RecordFile = {
      tables: {
        read: () => this.#kept,
        keep: (tables): void => {
          if (this.run === run) this.#kept = [...tables.values()];
        },
      },
      read: (): unknown => this.#records,
      write: (value): void => {
        if (this.run === run) this.#records = value;
      },
    };
    const worker = new Worker({
      credentials: this.credentials(),
      connect: (address): ManagerLink => links.connect(this, address),
      engine: this.runtime.mount(),
      network: {
        applyTables: (tables): ReadonlyMap<string, number> => {
          if (this.run === run) this.tables = tables;
          return new Map();
        },
        flowsForgotten: async (): Promise<void> => undefined,
        check: async (): Promise<undefined> => undefined,
      },
      clock: this.clock(),
      random: this.random(),
      log: silentLogger,
      records,
      managers,
      description: (): NodeDescription => describe(this.nodeId),
      address: this.address,
    });
    void worker.run(this.#abort.signal);
  }

  /** The agent alone ends; its containers and the kernel stay. */
  killAgent(): void {
    if (!this.isUp) return;
    this.end();
    this.runtime.unmount();
    this.#options.links.gone(this, true);
  }

  powerOff(): void {
    const wasUp = this.isUp;
    this.end();
    this.runtime.powerOff();
    this.tables = [];
    if (wasUp) this.#options.links.gone(this, false);
  }
}

function describe(hostname: string): NodeDescription {
  return {
    hostname,
    os: 'linux',
    architecture: 'x86_64',
    nanoCpus: 4e9,
    memoryBytes: 8 * 2 ** 30,
    engineVersion: '1',
    engineLabels: {},
    plugins: [],
  };
}
