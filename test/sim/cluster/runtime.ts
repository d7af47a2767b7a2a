import {
  FENCED,
  type TaskContainer,
  type TaskContainerSpec,
  type TaskEngine,
  type TaskEvent,
} from '../../../pkg/engine/index.ts';
import { ClusterError } from '../../../pkg/model/index.ts';
import type { World } from '../store/world.ts';
import type { Plan } from './plan.ts';

/** What the judge of a simulation hears of the containers of all machines. */
export interface RuntimeWitness {
  started(spec: TaskContainerSpec): void;
  /** An agent is about to send the stop signal. */
  signalled(spec: TaskContainerSpec): void;
  /** The end of its lease killed it, or kept it from starting. */
  fenced(spec: TaskContainerSpec): void;
}

interface Container {
  readonly spec: TaskContainerSpec;
  now: TaskContainer;
  stopping: boolean;
}

const BAD_LIVES_MS = 2000;
const EXIT_WITHIN_MS = 20_000;
/** How often a shim looks at the lease. */
const LEASE_LOOK_MS = 250;

/** The programs of one machine. They outlive its agent, and end with its power. */
export class SimRuntime {
  readonly #world: World;
  readonly #plan: Plan;
  readonly #witness: RuntimeWitness;
  readonly #containers = new Map<string, Container>();
  #listeners = new Set<(event: TaskEvent) => void>();
  /** Of an agent that is gone: its calls never return. */
  #holder = 0;
  /** When a leader last heard this machine, or later. */
  #leaseAt = Number.NEGATIVE_INFINITY;
  /** While true, programs end badly now and then. */
  faults = true;

  constructor(world: World, plan: Plan, witness: RuntimeWitness) {
    this.#world = world;
    this.#plan = plan;
    this.#witness = witness;
  }

  /** The running ones, with what they were made from. */
  running(): readonly TaskContainerSpec[] {
    return [...this.#containers.values()]
      .filter(({ now }) => now.state === 'running')
      .map(({ spec }) => spec);
  }

  get count(): number {
    return this.#containers.size;
  }

  /** The agent's process is gone. */
  unmount(): void {
    this.#holder++;
    this.#listeners = new Set();
  }

  /** Nothing runs any more; what was made is still on the disk. */
  powerOff(): void {
    this.unmount();
    this.#leaseAt = Number.NEGATIVE_INFINITY;
    for (const one of this.#containers.values()) {
      if (one.now.state === 'running')
        one.now = { ...one.now, state: 'exited', pid: 0, exitCode: 255 };
    }
  }

  /** For one agent process. */
  mount(): TaskEngine {
    const holder = ++this.#holder;
    const living = async (upToMs: number): Promise<void> => {
      if (upToMs > 0) await this.#world.pause(this.#world.random.between(0.5, upToMs));
      if (holder !== this.#holder) await new Promise<never>(() => undefined);
    };
    const { pullMs, startMs } = this.#plan;
    return {
      prepareImage: async (image): Promise<string> => {
        await living(pullMs);
        if (image.startsWith('missing')) {
          throw new ClusterError('not-found', `No such image: ${image}`);
        }
        return `sha256:${image}`;
      },
      createTask: async (spec): Promise<TaskContainer> => {
        await living(0);
        return this.#create(spec);
      },
      startTask: async (id): Promise<TaskContainer> => {
        await living(startMs);
        return this.#start(id);
      },
      waitTaskHealthy: async (): Promise<void> => undefined,
      waitTask: async (id): Promise<TaskContainer> => {
        await this.#exited(id);
        await living(0);
        return this.#get(id).now;
      },
      stopTask: async (id): Promise<void> => {
        await living(0);
        this.#stop(id);
        await this.#exited(id);
        await living(0);
      },
      killTask: async (id): Promise<void> => this.#exit(id, 137),
      removeTask: async (id): Promise<void> => {
        await living(0);
        this.#exit(id, 137);
        if (this.#containers.delete(id)) this.#emit('removed', id);
      },
      task: (id): TaskContainer | undefined => this.#containers.get(id)?.now,
      tasks: (): readonly TaskContainer[] => [...this.#containers.values()].map(({ now }) => now),
      onTaskEvent: (listener) => {
        if (holder === this.#holder) this.#listeners.add(listener);
        return (): void => void this.#listeners.delete(listener);
      },
      leaseTimeMs: (): number => this.#world.now,
      renewLease: (atMs): void => {
        if (holder === this.#holder) this.#leaseAt = Math.max(this.#leaseAt, atMs);
      },
      async *taskLogs(): AsyncGenerator<never> {},
    };
  }

  #create(spec: TaskContainerSpec): TaskContainer {
    const known = this.#containers.get(spec.taskId);
    if (known) return known.now;
    const now: TaskContainer = {
      containerId: `c-${spec.taskId}`,
      taskId: spec.taskId,
      serviceId: spec.serviceId,
      state: 'created',
      pid: 0,
      health: 'none',
      oomKilled: false,
      hostPorts: spec.hostPorts,
    };
    this.#containers.set(spec.taskId, { spec, now, stopping: false });
    return now;
  }

  #start(id: string): TaskContainer {
    const one = this.#get(id);
    if (one.now.state !== 'created') return one.now;
    const leftMs = this.#leaseLeftMs(one);
    if (leftMs <= 0) {
      this.#witness.fenced(one.spec);
      throw new ClusterError('unavailable', 'the lease is over', { code: FENCED });
    }
    one.now = { ...one.now, state: 'running', pid: 42 };
    this.#witness.started(one.spec);
    if (leftMs < Number.POSITIVE_INFINITY) this.#watchLease(one, leftMs);
    this.#plot(one);
    this.#emit('started', id);
    return one.now;
  }

  #leaseLeftMs({ spec: { fenceMs } }: Container): number {
    if (fenceMs === undefined) return Number.POSITIVE_INFINITY;
    return this.#leaseAt + fenceMs - this.#world.now;
  }

  /** The shim's part: whatever the agent does meanwhile. */
  #watchLease(one: Container, leftMs: number): void {
    this.#world.after(leftMs + this.#world.random.between(0, LEASE_LOOK_MS), () => {
      if (one.now.state !== 'running') return;
      const left = this.#leaseLeftMs(one);
      if (left > 0) {
        this.#watchLease(one, left);
        return;
      }
      this.#witness.fenced(one.spec);
      this.#exit(one.spec.taskId, 137, true);
    });
  }

  /** What becomes of the program by itself. */
  #plot({ spec }: Container): void {
    const { random } = this.#world;
    const image = spec.container.Image;
    if (image.startsWith('job')) this.#later(spec.taskId, BAD_LIVES_MS, 0);
    else if (image.startsWith('bad')) this.#later(spec.taskId, BAD_LIVES_MS, 1);
    else if (random.chance(this.#plan.exitChance)) {
      const code = random.below(2);
      this.#world.after(random.between(0, EXIT_WITHIN_MS), () => {
        if (this.faults) this.#exit(spec.taskId, code);
      });
    }
  }

  #later(id: string, withinMs: number, code: number): void {
    this.#world.after(this.#world.random.between(0, withinMs), () => this.#exit(id, code));
  }

  #stop(id: string): void {
    const one = this.#containers.get(id);
    if (one?.now.state !== 'running' || one.stopping) return;
    one.stopping = true;
    this.#witness.signalled(one.spec);
    this.#later(id, this.#plan.stopMs, 143);
  }

  #exit(id: string, exitCode: number, fenced?: true): void {
    const one = this.#containers.get(id);
    if (one?.now.state !== 'running') return;
    one.now = { ...one.now, state: 'exited', pid: 0, exitCode, fenced };
    this.#emit('exited', id);
  }

  async #exited(id: string): Promise<void> {
    while (this.#containers.get(id)?.now.state === 'running') {
      await this.#world.pause(1 + this.#plan.stopMs / 20);
    }
  }

  #get(id: string): Container {
    const one = this.#containers.get(id);
    if (!one) throw new ClusterError('not-found', `No such container: ${id}`);
    return one;
  }

  #emit(kind: TaskEvent['kind'], taskId: string): void {
    for (const listener of this.#listeners) listener({ kind, taskId, containerId: `c-${taskId}` });
  }
}
