import type { ConfChange, ConfChangeSingle, ConfState, NodeId, RawNode, Snapshot } from 'raft-js';
import { Checker, Violation } from './checker.ts';
import { Clients } from './clients.ts';
import { Disk } from './disk.ts';
import { Member, type World } from './member.ts';
import { Network } from './network.ts';
import { drawPlan, type Plan, TICK } from './plan.ts';
import { Random } from './random.ts';
import { Schedule } from './schedule.ts';

export interface Core {
  readonly RawNode: typeof RawNode;
}

export interface Result {
  readonly plan: Plan;
  readonly counts: Checker['counts'];
  /** Changes with everything that happened: equal for equal seeds. */
  readonly digest: string;
}

const FAULTY_TIME = 4000;
const HEALING_ROUNDS = 60;
/** Mostly to remove or demote itself: the change whose commit others may not hear of. */
const LEADER_CHANGES_ITSELF = 0.15;

/** One seed: a group under faults, then without; every rule is checked all the time. Throws what goes wrong. */
export function simulate(seed: number, core: Core): Result {
  const simulation = new Simulation(seed, core);
  simulation.run();
  return simulation.result();
}

class Simulation {
  readonly #random: Random;
  readonly #plan: Plan;
  readonly #schedule = new Schedule();
  readonly #network: Network;
  readonly #checker: Checker;
  readonly #clients: Clients;
  readonly #members: Member[] = [];
  #faulty = true;
  /** Whether a write that was made after all faults was answered. */
  #writes: () => boolean = () => false;

  constructor(seed: number, core: Core) {
    this.#random = new Random(seed);
    this.#plan = drawPlan(seed, this.#random);
    this.#network = new Network(this.#plan, this.#random, this.#schedule);
    const disks = new Map<NodeId, Disk>();
    this.#checker = new Checker(disks);
    this.#clients = new Clients(this.#random, this.#schedule);
    const world: World = {
      plan: this.#plan,
      random: this.#random,
      schedule: this.#schedule,
      network: this.#network,
      checker: this.#checker,
      clients: this.#clients,
      newNode: (id, storage, applied) =>
        new core.RawNode({
          ...this.#plan.config,
          id,
          storage,
          applied,
          random: () => this.#random.next(),
        }),
    };
    const initial = firstSnapshot(this.#plan.members);
    for (let id = 1; id <= this.#plan.nodes; id++) {
      const disk = new Disk();
      disks.set(id, disk);
      this.#members.push(new Member(id, disk, initial, world));
    }
  }

  run(): void {
    for (const member of this.#members) member.start();
    this.#planFaults();
    this.#schedule.runUntil(FAULTY_TIME);
    this.#faulty = false;
    this.#network.healed = true;
    this.#network.heal();
    for (const member of this.#members) {
      member.pause(0);
      if (member.node === undefined) member.start();
    }
    this.#converge();
    this.#clients.judge();
  }

  result(): Result {
    const ends = this.#members.map(
      ({ id, machine, node }) => `${id}:${machine.index}:${machine.hash}:${node?.status().term}`,
    );
    const { counts } = this.#checker;
    const digest = `${ends.join(' ')} ${this.#network.trace} ${JSON.stringify(counts)}`;
    return { plan: this.#plan, counts, digest };
  }

  #planFaults(): void {
    const plan = this.#plan;
    const any = (): Member => this.#random.pick(this.#members);
    this.#every(plan.proposeEvery, () => this.#clients.write(this.#chosen()));
    this.#every(plan.readEvery, () => this.#clients.read(any()));
    this.#every(plan.snapshotEvery, () => any().takeSnapshot());
    this.#every(plan.confChangeEvery, () => this.#changeConfig(this.#chosen()));
    this.#every(plan.transferEvery, () => this.#disturb(any()));
    this.#every(plan.pauseEvery, () => any().pause(this.#random.between(1, 60) * TICK));
    this.#every(plan.partitionEvery, () => this.#partition());
    this.#every(plan.crashEvery, () => this.#crash(any()));
  }

  #every(mean: number, act: () => void): void {
    if (mean === Number.POSITIVE_INFINITY) return;
    this.#schedule.after(this.#random.between(0.1, 1.9) * mean, () => {
      if (!this.#faulty) return;
      act();
      this.#every(mean, act);
    });
  }

  /** Mostly a leader, so that proposals get somewhere. */
  #chosen(): Member {
    const leaders = this.#members.filter((m) => m.node?.status().raftState === 'StateLeader');
    if (leaders.length > 0 && this.#random.chance(0.8)) return this.#random.pick(leaders);
    return this.#random.pick(this.#members);
  }

  #changeConfig(member: Member): void {
    const random = this.#random;
    const types = ['addNode', 'addNode', 'addLearner', 'removeNode', 'removeNode'] as const;
    const changes: ConfChangeSingle[] = [];
    const count = random.pick([0, 1, 1, 1, 2, 3]);
    for (let i = 0; i < count; i++) {
      const any = 1 + random.below(this.#plan.nodes);
      const nodeId = random.chance(LEADER_CHANGES_ITSELF) ? member.id : any;
      changes.push({ type: random.pick(types), nodeId });
    }
    const v1 = count === 1 && random.chance(0.4);
    const change: ConfChange = v1
      ? { v1, changes }
      : { transition: random.pick(['auto', 'auto', 'implicit', 'explicit']), changes };
    member.use((node) => node.proposeConfChange(change));
  }

  #disturb(member: Member): void {
    const target = 1 + this.#random.below(this.#plan.nodes);
    const kind = this.#random.below(5);
    if (kind === 0) member.use((node) => node.campaign());
    else if (kind === 1 && !this.#plan.steadyClocks) member.use((node) => node.forgetLeader());
    else member.use((node) => node.transferLeader(target));
  }

  #partition(): void {
    if (this.#random.chance(0.4)) this.#network.heal();
    else this.#network.partition();
  }

  #crash(member: Member): void {
    const all = this.#random.chance(0.15);
    for (const victim of all ? this.#members : [member]) {
      if (victim.node !== undefined) victim.crash();
      this.#schedule.after(this.#random.between(1, 40) * TICK, () => {
        if (victim.node === undefined) victim.start();
      });
    }
  }

  /** Without faults the group must elect, leave a joint configuration, commit and bring everybody up to date. */
  #converge(): void {
    const { electionTick } = this.#plan.config;
    for (let round = 0; round < HEALING_ROUNDS; round++) {
      if (round === HEALING_ROUNDS / 2 && !this.#plan.config.preVote) this.#stopRemoved();
      this.#schedule.runUntil(this.#schedule.now + electionTick * TICK);
      if (round % 4 === 3 && this.#stepTowardsEnd(round)) return;
    }
    const states = this.#members.map((m) => describe(m));
    throw new Violation(`no progress after all faults ended:\n${states.join('\n')}`);
  }

  /**
   * Without pre-votes a removed member that missed its removal can raise the term of voters faster than a candidate that
   * it does not know follows: who runs a group like that has to stop it (seed 50976).
   */
  #stopRemoved(): void {
    const [newest] = this.#members.toSorted((a, b) => b.machine.index - a.machine.index);
    const config = newest?.node?.status().config;
    if (config === undefined) return;
    for (const member of this.#members) if (!isMember(config, member.id)) member.crash();
  }

  /** True when everybody who belongs to the group has applied everything, in a configuration that is not joint. */
  #stepTowardsEnd(round: number): boolean {
    const leader = this.#leader();
    if (leader === undefined) return false;
    const config = leader.node?.status().config;
    if (config === undefined) return false;
    if (config.votersOutgoing.length > 0) {
      if (!config.autoLeave) leader.use((node) => node.proposeConfChange({ changes: [] }));
      return false;
    }
    const { index, hash } = leader.machine;
    const settled = this.#members
      .filter((m) => isMember(config, m.id))
      .every(({ machine }) => machine.index === index && machine.hash === hash);
    if (settled && this.#writes()) return true;
    // Later ones would keep the members from coming to rest.
    const wanted = round < HEALING_ROUNDS / 2 || !this.#writes();
    if (wanted) this.#writes = this.#clients.write(leader);
    return false;
  }

  /** The leader of the highest term. One that was removed is stopped, as its owner would do. */
  #leader(): Member | undefined {
    let newest: Member | undefined;
    for (const member of this.#members) {
      const status = member.node?.status();
      if (status?.raftState !== 'StateLeader') continue;
      if (!isMember(status.config, member.id)) {
        member.crash();
        continue;
      }
      if (status.term > (newest?.node?.status().term ?? 0)) newest = member;
    }
    return newest;
  }
}

function isMember(config: ConfState, id: NodeId): boolean {
  return [...config.voters, ...config.votersOutgoing, ...config.learners].includes(id);
}

function firstSnapshot(members: number): Snapshot {
  const voters = Array.from({ length: members }, (_, i) => i + 1);
  const confState = {
    voters,
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
  return { index: 1, term: 1, confState, data: new Uint8Array(0) };
}

function describe(member: Member): string {
  const status = member.node?.status();
  if (status === undefined) return `${member.id}: stopped`;
  const { term, raftState, lead, commit, applied, config } = status;
  return `${member.id}: ${raftState} term ${term} lead ${lead} commit ${commit} applied ${applied} ${JSON.stringify(config)}`;
}
