import { createHash } from 'node:crypto';
import { recordNewNode } from '../../../pkg/dispatcher/index.ts';
import {
  createObject,
  ingressNetworkSpec,
  type NetworkId,
  type NodeId,
  type ServiceId,
  VERSION_NONE,
  type View,
} from '../../../pkg/model/index.ts';
import { World } from '../store/world.ts';
import { keepsBad, unconverged, waitsForRoom } from './converged.ts';
import { Faults } from './faults.ts';
import type { Group } from './group.ts';
import { Host } from './host.ts';
import { type Counts, Judge } from './judge.ts';
import { Links } from './links.ts';
import { Manager } from './manager.ts';
import { ModelGroup } from './model-group.ts';
import { clusterObject, isBad, reserving } from './objects.ts';
import { Operator } from './operator.ts';
import { drawPlan, type Plan } from './plan.ts';
import { Quiet } from './quiet.ts';
import { StoreGroup } from './store-group.ts';

/** `model`: the managers' log is a pretended one that keeps raft's promises. `store`: real stores on simulated disks. */
export type Level = 'model' | 'store';

export interface Result {
  readonly counts: Counts;
  /** Equal for equal runs. */
  readonly digest: string;
}

const FORM_MS = 60_000;
const CONVERGE_MS = 180_000;
/** What is not over by then waits for something that does not come. */
const STUCK_MS = 60_000;
/** Longer than any delay, restart or monitor of a service here. */
const QUIET_MS = 6_000;
const CHECK_MS = 200;
const FREED_MS = 1_000;
const TRACE_LINES = 120;

/** Plays one seed. @throws Error when a promise was broken, with what happened before */
export async function simulate(seed: number, level: Level): Promise<Result> {
  const problems: unknown[] = [];
  const note = (error: unknown): void => void problems.push(error);
  process.on('unhandledRejection', note);
  const simulation = new Simulation(seed, level, problems);
  try {
    return await simulation.run();
  } catch (error) {
    const trace = simulation.trace.slice(-TRACE_LINES).join('\n');
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${trace}`, {
      cause: error,
    });
  } finally {
    simulation.close();
    process.off('unhandledRejection', note);
  }
}

class Simulation {
  readonly trace: string[] = [];
  readonly #world: World;
  readonly #plan: Plan;
  readonly #group: Group & Partial<Disposable>;
  readonly #links: Links;
  readonly #managers: readonly Manager[];
  readonly #hosts: readonly Host[];
  readonly #judge: Judge;
  readonly #operator: Operator;
  readonly #faults: Faults;
  readonly #problems: unknown[];
  #calm = true;

  constructor(seed: number, level: Level, problems: unknown[]) {
    this.#problems = problems;
    const world = new World(seed);
    const plan = drawPlan(world.random);
    this.#world = world;
    this.#plan = plan;
    const selves = [1, 2, 3].map((raftId) => ({
      raftId,
      nodeId: `manager${raftId}` as NodeId,
      address: `m${raftId}:1`,
    }));
    const group =
      level === 'model' ? new ModelGroup(world, plan, selves) : new StoreGroup(world, plan, selves);
    this.#group = group;
    this.#links = new Links(world, plan.linkMs, () => this.#managers);
    const hosts: Host[] = [];
    const judge = new Judge(world, hosts, {
      note: (line): void => this.#log(line),
      isCut: ({ nodeId }): boolean =>
        this.#managers.some((manager) => this.#links.isCut(nodeId, manager.nodeId)),
    });
    this.#judge = judge;
    const parts = { world, plan, links: this.#links };
    const managers = selves.map(({ address }) => address);
    for (let number = 1; number <= plan.workers; number++) {
      const name = { nodeId: `node${number}`, address: `10.9.0.${number}` };
      hosts.push(new Host(name, { ...parts, witness: judge, managers }));
    }
    this.#hosts = hosts;
    this.#managers = selves.map(
      ({ raftId, address }) =>
        new Manager(raftId, address, {
          ...parts,
          group,
          onError: (message, error) => problems.push(new Error(message, { cause: error })),
          onStarted: (_, store) => {
            store.watch((batch) => {
              if (!batch.reset) judge.applied(batch, store.view);
            });
          },
        }),
    );
    this.#operator = new Operator({
      world,
      networks: ['net1', 'net2'] as NetworkId[],
      fenceChance: plan.fenceChance,
      manager: (): Manager | undefined => {
        const up = this.#managers.filter(({ isUp, standsStill }) => isUp && !standsStill);
        return up.length === 0 ? undefined : world.random.pick(up);
      },
      nodes: (): readonly NodeId[] => hosts.map(({ nodeId }) => nodeId),
      note: (line): void => this.#log(line),
    });
    this.#faults = new Faults({
      ...parts,
      group,
      hosts,
      managers: this.#managers,
      judge,
      removeNode: (host): void => this.#operator.removeNode(host.nodeId),
    });
  }

  close(): void {
    this.#group[Symbol.dispose]?.();
  }

  async run(): Promise<Result> {
    await this.#form();
    this.#calm = false;
    this.#repeat(this.#plan.wishMs, () => this.#operator.wish());
    this.#repeat(this.#plan.faultMs, () => this.#faults.one());
    await this.#play(this.#plan.durationMs, () => false);
    this.#calm = true;
    this.#faults.mend();
    for (const { runtime } of this.#hosts) runtime.faults = false;
    await this.#converge();
    await this.#nothingMore();
    await this.#freedCapacity();
    await this.#removeEverything();
    const contents = this.#managers.map(({ raftId }) => this.#group.content(raftId));
    if (contents.some((text) => text !== contents[0])) throw new Error('managers differ');
    const digest = createHash('sha1').update(this.trace.join('\n')).digest('hex');
    return { counts: this.#judge.counts, digest };
  }

  async #form(): Promise<void> {
    for (const manager of this.#managers) manager.start();
    let formed = false;
    void this.#group.form().then(() => {
      formed = true;
    });
    await this.#mustPlay('the managers form a group', () => formed && this.#leader !== undefined);
    let seeded = false;
    const { store } = this.#anyManager();
    void store
      .update((draft) => {
        const now = store.now();
        const stamps = { version: VERSION_NONE, createdAt: now, updatedAt: now };
        draft.add(createObject('cluster', clusterObject(now)));
        const networks = [
          { id: 'ingress' as NetworkId, spec: ingressNetworkSpec() },
          ...[1, 2].map((n) => ({
            id: `net${n}` as NetworkId,
            // Small enough that addresses are given a second time.
            spec: { Name: `net${n}`, IPAM: { Config: [{ Subnet: `10.99.${n}.0/27` }] } },
          })),
        ];
        for (const one of networks) {
          draft.add(createObject('network', { ...one, ...stamps, subnets: [], vni: 0 }));
        }
        for (const { nodeId } of this.#hosts) recordNewNode(draft, { nodeId, role: 'worker', now });
      })
      .then(() => {
        seeded = true;
      });
    await this.#mustPlay('the first objects', () => seeded);
    for (const host of this.#hosts) host.start();
    await this.#mustPlay('the nodes are ready', () =>
      [...this.#view.list('node')].every(({ status }) => status.state === 'ready'),
    );
  }

  /** Of the leader; while there is none, of anybody. */
  get #view(): View {
    return (this.#leader ?? this.#anyManager()).store.view;
  }

  get #leader(): Manager | undefined {
    return this.#managers.find((one) => one.isUp && one.store.isLeader());
  }

  #anyManager(): Manager {
    const manager = this.#managers.find((one) => one.isUp);
    if (!manager) throw new Error('no manager runs');
    return manager;
  }

  #repeat(everyMs: number, action: () => void): void {
    this.#world.after(this.#world.random.between(0, 2 * everyMs), () => {
      if (this.#calm) return;
      action();
      this.#repeat(everyMs, action);
    });
  }

  /** Whatever happened, what is wanted and what runs come together, and every rollout ends. */
  async #converge(): Promise<void> {
    // Asked for until it is so: the manager asked may not have heard of the end of the faults yet.
    await this.#wish('only good images, all nodes active', () => this.#askForPeace());
    const begun = this.#world.now;
    // What somebody asked for last may still be on its way, also when nothing has moved for long.
    let quiet = new Quiet(begun);
    // A rollback may bring back what cannot run.
    const again = (): void => {
      if (this.#converged) return;
      if (this.#leader && this.#group.isSettled()) {
        this.#askForPeace();
        const isLong = this.#world.now - begun > STUCK_MS;
        if (isLong && this.#removeStuck()) quiet = new Quiet(this.#world.now);
      }
      this.#world.after(2000, again);
    };
    again();
    await this.#mustPlay(
      'convergence',
      () => this.#isConverged(quiet),
      CONVERGE_MS,
      () => this.#unconverged().join('; '),
    );
  }

  #askForPeace(): boolean {
    const lost = [...this.#faults.gone].filter((host) => this.#view.get('node', host.nodeId));
    for (const host of lost) this.#operator.removeNode(host.nodeId);
    const drained = [...this.#view.list('node')].some(({ spec }) => spec.Availability !== 'active');
    if (drained) this.#operator.everyNodeActive();
    const bad = [...this.#view.list('service')].some(
      (one) => isBad(one.spec) || keepsBad(this.#view, one),
    );
    if (bad) this.#operator.onlyGoodImages();
    return lost.length === 0 && !drained && !bad;
  }

  /** An update or rollback that waits for room holds up slots that restart for ever in the version before. */
  #removeStuck(): boolean {
    const stuck = [...this.#view.list('service')].filter(
      ({ id, updateStatus }) =>
        (updateStatus?.state === 'updating' || updateStatus?.state === 'rollback_started') &&
        waitsForRoom(this.#view, id),
    );
    for (const { id } of stuck) this.#operator.remove(id);
    return stuck.length > 0;
  }

  /** Repeats until `ask` says that it is so. */
  async #wish(what: string, ask: () => boolean): Promise<void> {
    let done = false;
    const again = (): void => {
      done ||= this.#leader !== undefined && this.#group.isSettled() && ask();
      if (!done) this.#world.after(500, again);
    };
    again();
    await this.#mustPlay(what, () => done);
  }

  #converged = false;
  #checkedAt = 0;

  /** As it shall be, and nothing moves any more. */
  #isConverged(quiet: Quiet): boolean {
    const { now } = this.#world;
    if (now < this.#checkedAt) return false;
    this.#checkedAt = now + CHECK_MS;
    const isRight = this.#unconverged().length === 0;
    this.#converged = quiet.lasts(now, this.#judge.changes, isRight) >= QUIET_MS;
    return this.#converged;
  }

  #unconverged(): readonly string[] {
    if (!this.#leader || !this.#group.isSettled()) return ['the managers are not settled'];
    const living = this.#hosts.filter((host) => !this.#faults.gone.has(host));
    return unconverged(this.#leader.store.view, this.#leader.store.now(), living);
  }

  /** A new leader finds nothing to decide. */
  async #nothingMore(): Promise<void> {
    const before = this.#judge.changes;
    this.#judge.disturbed('leadership is handed over, in peace');
    this.#group.transfer();
    await this.#play(4000, () => false);
    await this.#mustPlay('a leader', () => this.#leader !== undefined);
    if (this.#judge.changes !== before) throw new Error('a new leader decided something');
  }

  /** A task that waits for room is placed within a second of when there is some. */
  async #freedCapacity(): Promise<void> {
    if (this.#world.random.chance(0.6)) return;
    for (const { id } of [...this.#view.list('service')]) this.#operator.remove(id);
    await this.#mustPlay(
      'all services are gone',
      () => this.#view.count('task') === 0,
      CONVERGE_MS,
    );
    const nodes = this.#view.count('node');
    const first = this.#operator.create(reserving('first', 1));
    await this.#mustPlay('the first runs', () => this.#running(first) === 1, CONVERGE_MS);
    const other = this.#operator.create(reserving('other', 2 * nodes));
    await this.#mustPlay(
      'the node is full',
      () => this.#running(other) === 2 * nodes - 1,
      CONVERGE_MS,
    );
    let freedAt: number | undefined;
    this.#operator.remove(first);
    await this.#mustPlay(
      'the last one is placed',
      () => {
        const stopped = [...this.#view.tasksOfService(first)].every(
          ({ status }) => status.state === 'shutdown',
        );
        if (stopped) freedAt ??= this.#world.now;
        return [...this.#view.tasksOfService(other)].every(({ nodeId }) => nodeId !== undefined);
      },
      CONVERGE_MS,
    );
    if (this.#world.now - (freedAt ?? this.#world.now) > FREED_MS) {
      throw new Error(`freed capacity lay idle for ${this.#world.now - (freedAt ?? 0)} ms`);
    }
  }

  #running(id: ServiceId): number {
    return [...this.#view.tasksOfService(id)].filter(({ status }) => status.state === 'running')
      .length;
  }

  async #removeEverything(): Promise<void> {
    await this.#wish('everything is asked to go', () => {
      const left = [...this.#view.list('network')].some(
        (one) => !one.spec.Ingress && !one.removing,
      );
      if (this.#view.count('service') > 0 || left) this.#operator.removeEverything();
      return this.#view.count('service') === 0 && !left;
    });
    await this.#mustPlay(
      'nothing is left',
      () => this.#leftovers().length === 0,
      CONVERGE_MS,
      () => this.#leftovers().join(),
    );
  }

  #leftovers(): readonly string[] {
    const view = this.#view;
    const kinds = (['task', 'service', 'revision'] as const).filter((kind) => view.count(kind) > 0);
    const networks = view.count('network') === 1 ? [] : ['networks'];
    const onHosts = this.#hosts
      .filter((host) => !this.#faults.gone.has(host))
      .filter(({ runtime, tables }) => runtime.count > 0 || tables.some((one) => !one.ingress))
      .map(({ nodeId }) => `containers or tables of ${nodeId}`);
    return [...kinds, ...networks, ...onHosts, ...(this.#group.isSettled() ? [] : ['lag'])];
  }

  async #mustPlay(
    what: string,
    until: () => boolean,
    limitMs = FORM_MS,
    why: () => string = () => '',
  ): Promise<void> {
    if (await this.#play(limitMs, until)) return;
    throw new Error(`did not happen: ${what}: ${why()}`);
  }

  #play(limitMs: number, until: () => boolean): Promise<boolean> {
    return this.#world.play(limitMs, until, () => {
      const [problem] = this.#problems;
      if (problem !== undefined) throw problem;
      if (this.#judge.problem !== undefined) throw new Error(this.#judge.problem);
      this.#group.check();
    });
  }

  #log(line: string): void {
    this.trace.push(`${this.#world.now.toFixed(1)} ${line}`);
  }
}
