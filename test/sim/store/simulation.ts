import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeViolation, findViolation } from '../../linearizable/checker.ts';
import { History } from '../../linearizable/history.ts';
import {
  namedRegister,
  type RegisterInput,
  type RegisterOutput,
} from '../../linearizable/named-register.ts';
import { operate, type StoreHistory } from './client.ts';
import { Follower } from './follower.ts';
import { SimMember, type Surroundings } from './member.ts';
import { Operator } from './operator.ts';
import { Places } from './places.ts';
import { drawPlan, type Plan } from './plan.ts';
import { isInjected } from './sim-disk.ts';
import { SimNetwork } from './sim-network.ts';
import { Witness } from './witness.ts';
import { World } from './world.ts';

const SIZE = 3;
const SIZE_MAX = 5;
const FOLLOWERS = 2;
const REPLACE_MS = 900;
const NAMES = 5;
const FORM_MS = 60_000;
const CONVERGE_MS = 60_000;
const THINK_MS = 60;

export interface Counts {
  operations: number;
  unknown: number;
  crashes: number;
  diskFaults: number;
  partitions: number;
  handOvers: number;
  removed: number;
  added: number;
  moved: number;
  followed: number;
}

export interface Result {
  readonly counts: Counts;
  /** Equal for equal runs. */
  readonly digest: string;
}

/** Plays one seed. @throws Error when a promise of the store was broken */
export async function simulate(seed: number): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'muster-sim-'));
  const problems: unknown[] = [];
  const note = (error: unknown): void => void problems.push(error);
  process.on('unhandledRejection', note);
  try {
    const simulation = new Simulation(seed, folder, problems);
    return await simulation.run();
  } finally {
    process.off('unhandledRejection', note);
    rmSync(folder, { recursive: true, force: true });
  }
}

class Simulation {
  readonly #world: World;
  readonly #plan: Plan;
  readonly #network: SimNetwork;
  readonly #around: Surroundings;
  /** The machines that are, or shall be, in the group. */
  readonly #members: SimMember[];
  readonly #operator: Operator;
  readonly #followers: Follower[] = [];
  readonly #history: StoreHistory;
  readonly #problems: readonly unknown[];
  readonly #leaders = new Map<number, number>();
  readonly #counts: Counts = {
    operations: 0,
    unknown: 0,
    crashes: 0,
    diskFaults: 0,
    partitions: 0,
    handOvers: 0,
    removed: 0,
    added: 0,
    moved: 0,
    followed: 0,
  };
  #machines = 0;
  #texts = 0;
  #clientsUp = 0;
  #stopping = 0;
  #calm = true;

  constructor(seed: number, folder: string, problems: readonly unknown[]) {
    this.#world = new World(seed);
    const world = this.#world;
    this.#plan = drawPlan(world.random);
    const plan = this.#plan;
    const places = new Places(world.random, plan.moveChance);
    const addressOf = (raftId: number): string => places.addressOf(raftId);
    this.#network = new SimNetwork(world, plan.network, addressOf);
    const witness = new Witness();
    this.#around = { world, network: this.#network, places, plan, folder, witness };
    this.#members = Array.from({ length: SIZE }, () => this.#newMachine());
    this.#operator = new Operator({
      world,
      members: this.#members,
      newMachine: (): SimMember => this.#newMachine(),
    });
    this.#history = new History<RegisterInput, RegisterOutput>(() => world.now);
    this.#problems = problems;
  }

  async run(): Promise<Result> {
    await this.#form();
    this.#calm = false;
    for (let id = 0; id < this.#plan.clients; id++) void this.#client(id);
    for (let count = 0; count < FOLLOWERS; count++) this.#follow();
    this.#planFault();
    if (this.#plan.replaces) this.#planReplacement();
    await this.#play(this.#plan.durationMs, () => false);
    this.#calm = true;
    this.#network.heal();
    for (const member of this.#members) {
      member.disk.fault = 'none';
      if (!member.isUp) member.start([]);
    }
    if (!(await this.#play(CONVERGE_MS, () => this.#isOver()))) {
      throw new Error(`the members do not come together again: ${this.#describe()}`);
    }
    await this.#readAll();
    this.#judge();
    const digest = createHash('sha1').update(JSON.stringify(this.#history.operations));
    for (const member of this.#members) member.kill();
    this.#counts.removed = this.#operator.removed;
    this.#counts.added = this.#operator.added;
    this.#counts.moved = this.#around.places.moves;
    for (const { batches } of this.#followers) this.#counts.followed += batches;
    return { counts: this.#counts, digest: digest.digest('hex') };
  }

  async #form(): Promise<void> {
    const [first, ...others] = this.#members;
    if (first === undefined) throw new Error('no members');
    first.start('bootstrap');
    await this.#mustPlay('the first leads', () => first.store.isLeader());
    for (const member of others) {
      member.start([first.self]);
      let added = false;
      const add = async (): Promise<void> => {
        while (!added) {
          await first.store.addMember(member.self).then(
            () => {
              added = true;
            },
            () => this.#world.pause(100),
          );
        }
      };
      void add();
      await this.#mustPlay(`member ${member.self.raftId} votes`, () => this.#votes(member));
    }
  }

  #votes(member: SimMember): boolean {
    const { raftId } = member.self;
    return this.#members.every(
      (each) =>
        !each.isUp ||
        each.store.members().some((one) => one.raftId === raftId && one.role === 'voter'),
    );
  }

  async #client(id: number): Promise<void> {
    const { random } = this.#world;
    const seen = new Map<string, string>();
    this.#clientsUp++;
    while (!this.#calm) {
      await this.#world.pause(random.between(0, THINK_MS));
      const up = this.#members.filter((member) => member.isUp);
      if (up.length === 0) continue;
      const input = this.#draw(seen);
      const { patienceMs } = this.#plan;
      const access = random.pick(up);
      const output = await operate(access, this.#history, id, { input, patienceMs });
      if (output?.kind === 'found') seen.set(input.name, output.text);
      this.#counts[output === undefined ? 'unknown' : 'operations']++;
    }
    this.#clientsUp--;
  }

  #draw(seen: ReadonlyMap<string, string>): RegisterInput {
    const { random } = this.#world;
    const name = `n${random.below(NAMES)}`;
    const expected = seen.get(name);
    const text = `t${this.#texts++}`;
    if (random.chance(0.25)) return { kind: 'create', name: `${name}-${random.below(8)}`, text };
    if (random.chance(0.15)) return { kind: 'create', name, text };
    if (random.chance(0.3)) return { kind: 'remove', name };
    if (expected === undefined || random.chance(0.4)) return { kind: 'read', name };
    return { kind: 'swap', name, expected, text };
  }

  #planFault(): void {
    const { random } = this.#world;
    this.#world.after(random.between(0, 2 * this.#plan.faultMs), () => {
      if (this.#calm) return;
      this.#fault();
      this.#planFault();
    });
  }

  #fault(): void {
    const { random } = this.#world;
    const draw = random.next();
    const victim = random.pick(this.#members);
    if (draw < 0.25) this.#crash(victim);
    else if (draw < 0.3) this.#stop(victim);
    else if (draw < 0.38) for (const member of this.#members) this.#crash(member);
    else if (draw < 0.46) this.#handOver(victim);
    else if (draw < 0.6) this.#breakDisk(victim, random.chance(0.5) ? 'sync' : 'no space');
    else if (draw < 0.85) this.#partition(victim.self.raftId);
    else this.#network.heal();
  }

  #crash(member: SimMember): void {
    if (!member.isUp) return;
    this.#counts.crashes++;
    member.kill();
    this.#startLater(member);
  }

  #stop(member: SimMember): void {
    if (!member.isUp) return;
    this.#stopping++;
    // When it crashes on the way, the stop never comes to an end.
    void Promise.race([member.stop(), member.ended]).then(() => {
      this.#stopping--;
      this.#startLater(member);
    });
  }

  #startLater(member: SimMember): void {
    this.#world.after(this.#world.random.between(10, 1500), () => {
      const belongs = this.#members.includes(member);
      if (!belongs || member.isUp) return;
      const on = this.#members.filter(({ isUp }) => isUp);
      this.#around.places.perhapsMove(member, on);
      member.start([]);
    });
  }

  /** Leaders change although nothing fails. */
  #handOver(member: SimMember): void {
    if (!member.isUp) return;
    this.#counts.handOvers++;
    member.store.transferLeadership(undefined, { timeoutMs: 1000 }).catch(() => undefined);
  }

  #planReplacement(): void {
    const { random } = this.#world;
    this.#world.after(random.between(0, 2 * REPLACE_MS), () => {
      if (this.#calm) return;
      this.#replace(random.pick(this.#members));
      this.#planReplacement();
    });
  }

  #replace(victim: SimMember): void {
    if (this.#members.length < SIZE_MAX && this.#world.random.chance(0.5)) {
      void this.#operator.add();
    } else if (this.#members.length > 2) {
      void this.#operator.remove(victim);
    }
  }

  #newMachine(): SimMember {
    return new SimMember(++this.#machines, this.#around);
  }

  #follow(): void {
    const follower = new Follower({
      world: this.#world,
      witness: this.#around.witness,
      up: (): readonly SimMember[] => this.#members.filter((member) => member.isUp),
      wanted: (): boolean => !this.#calm,
    });
    this.#followers.push(follower);
    void follower.run();
  }

  #breakDisk(member: SimMember, fault: 'sync' | 'no space'): void {
    this.#counts.diskFaults++;
    member.disk.fault = fault;
    // Without a failure by then, the disk is good again.
    this.#world.after(1000, () => {
      member.disk.fault = 'none';
    });
  }

  #partition(victim: number): void {
    const { random } = this.#world;
    this.#counts.partitions++;
    const oneWay = random.chance(0.3);
    const ids = this.#members.map(({ self }) => self.raftId);
    const peers = random.chance(0.5) ? ids : [random.pick(ids)];
    for (const peer of peers) {
      this.#network.cut(victim, peer);
      if (!oneWay) this.#network.cut(peer, victim);
    }
    this.#world.after(random.between(100, 3000), () => this.#network.heal());
  }

  /** Nobody wants anything any more, and all members are where the leader is. */
  #isOver(): boolean {
    if (this.#clientsUp + this.#stopping > 0 || this.#operator.busy) return false;
    const leader = this.#members.find((member) => member.isUp && member.store.isLeader());
    if (leader === undefined) return false;
    const { index } = leader.store.view;
    const ids = this.#members.map(({ self }) => self.raftId);
    const group = leader.store.members();
    return (
      group.length === ids.length &&
      this.#members.every((member) => member.isUp && member.store.view.index === index) &&
      group.every((one) => one.role === 'voter' && ids.includes(one.raftId)) &&
      group.every(({ raftId, address }) => address === this.#around.places.addressOf(raftId))
    );
  }

  /** Every name through every member. */
  async #readAll(): Promise<void> {
    const names = new Set(this.#history.operations.map(({ input }) => input.name));
    let open = 0;
    for (const [at, member] of this.#members.entries()) {
      for (const name of names) {
        open++;
        const call = { input: { kind: 'read', name } as const, patienceMs: CONVERGE_MS };
        void this.#readUntilAnswered(member, this.#plan.clients + at, call).then(() => open--);
      }
    }
    await this.#mustPlay('the last reads', () => open === 0);
  }

  async #readUntilAnswered(
    member: SimMember,
    client: number,
    call: Parameters<typeof operate>[3],
  ): Promise<void> {
    while ((await operate(member, this.#history, client, call)) === undefined) {
      await this.#world.pause(100);
    }
  }

  async #mustPlay(what: string, until: () => boolean): Promise<void> {
    if (await this.#play(FORM_MS, until)) return;
    throw new Error(`did not happen: ${what}; ${this.#describe()}`);
  }

  #play(limitMs: number, until: () => boolean): Promise<boolean> {
    return this.#world.play(limitMs, until, () => this.#check());
  }

  /** After every event. */
  #check(): void {
    const [problem] = this.#problems;
    if (problem !== undefined) throw problem;
    for (const member of [...this.#members]) {
      if (!member.isUp) continue;
      if (member.removed) this.#operator.gone(member);
      else if (member.refused !== undefined) this.#checkRefusal(member);
      else if (member.failed) this.#checkFailure(member, member.failed);
      else this.#checkLeader(member);
    }
  }

  /** A full disk may keep a store from starting; damage that was never done may not. */
  #checkRefusal(member: SimMember): void {
    const { refused } = member;
    member.refused = undefined;
    if (!isInjected(refused)) throw new Error(`member ${member.self.raftId}`, { cause: refused });
    this.#restartSoon(member);
  }

  #checkFailure(member: SimMember, error: Error): void {
    if (!isInjected(error)) throw new Error(`member ${member.self.raftId}`, { cause: error });
    this.#restartSoon(member);
  }

  #restartSoon(member: SimMember): void {
    member.kill();
    this.#world.after(200, () => {
      if (!member.isUp) member.start([]);
    });
  }

  /** One leader in a term. */
  #checkLeader(member: SimMember): void {
    const { store, self } = member;
    if (!store.isLeader()) return;
    const known = this.#leaders.get(store.term) ?? self.raftId;
    this.#leaders.set(store.term, known);
    if (known !== self.raftId) {
      throw new Error(`members ${known} and ${self.raftId} lead in term ${store.term}`);
    }
  }

  #judge(): void {
    const [first = '', ...others] = this.#members.map((member) => member.content());
    for (const other of others) {
      if (other !== first) throw new Error(`members differ:\n${first}\n${other}`);
    }
    const violation = findViolation(namedRegister, this.#history.operations);
    if (violation) throw new Error(describeViolation(violation));
  }

  #describe(): string {
    return this.#members
      .map((member) => {
        if (!member.isUp) return `${member.self.raftId} down`;
        const { view, term } = member.store;
        const leader = member.store.isLeader() ? ' leads' : '';
        return `${member.self.raftId} at ${view.index} in term ${term}${leader}`;
      })
      .join(', ');
  }
}
