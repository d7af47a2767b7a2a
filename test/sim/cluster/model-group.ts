import type { Clock, Timer } from '../../../pkg/io/index.ts';
import type { Member } from '../../../pkg/store/index.ts';
import type { World } from '../store/world.ts';
import type { Group, ManagerStore } from './group.ts';
import { type ModelLog, ModelStore, ofProcess, type Request } from './model-store.ts';
import type { Plan } from './plan.ts';

const RETRY_MS = 150;

/**
 * What a raft group promises, without one: a log that grows in one order, a leader that a majority can reach, members that
 * lag. Elections take as long as real ones; a leader that lost its majority believes in itself for a while.
 */
export class ModelGroup implements Group, ModelLog {
  readonly world: World;
  readonly plan: Plan;
  readonly log: Request[] = [];
  readonly #members: ModelStore[] = [];
  readonly #cut = new Set<string>();
  #leader: ModelStore | undefined;
  #election: Timer | undefined;
  #term = 0;

  constructor(world: World, plan: Plan, selves: readonly Member[]) {
    this.world = world;
    this.plan = plan;
    for (const self of selves) this.#members.push(new ModelStore(this, self));
  }

  get term(): number {
    return this.#term;
  }

  get leader(): ModelStore | undefined {
    return this.#leader;
  }

  get piece(): number {
    return this.plan.piece;
  }

  get selves(): readonly Member[] {
    return this.#members.map(({ self }) => self);
  }

  async form(): Promise<void> {
    for (const member of this.#members) member.isUp = true;
    this.#elect();
  }

  start(raftId: number, clock: Clock): ManagerStore {
    const member = this.#member(raftId);
    member.begin(clock);
    this.catchUp();
    this.settleLeadership();
    return ofProcess(member);
  }

  kill(raftId: number): void {
    this.#member(raftId).end();
    this.settleLeadership();
  }

  cut(from: number, to: number): void {
    this.#cut.add(`${from}>${to}`);
    this.settleLeadership();
  }

  heal(): void {
    this.#cut.clear();
    this.catchUp();
    this.settleLeadership();
    this.world.after(this.world.random.between(0, this.plan.commitMs), () => {
      for (const member of this.#members) {
        const leader = this.#leader;
        if (leader && member !== leader && this.reaches(leader, member)) member.lead(false);
      }
    });
  }

  transfer(): void {
    const old = this.#leader;
    if (!old) return;
    this.#leader = undefined;
    old.lead(false);
    this.world.after(this.world.random.between(1, 60), () => this.#elect());
  }

  content(raftId: number): string {
    const { view } = this.#member(raftId);
    const kinds = ['service', 'task', 'node', 'network', 'revision', 'cluster'] as const;
    return JSON.stringify(kinds.map((kind) => [...view.list(kind)]));
  }

  isSettled(): boolean {
    const leader = this.#leader;
    return (
      leader?.isLeader() === true &&
      this.#members.every((member) => member.isUp && member.applied === this.log.length)
    );
  }

  /** Pretended ones never give up. */
  check(): void {}

  /** Both ways. */
  reaches(one: ModelStore, other: ModelStore): boolean {
    if (!one.isUp || !other.isUp) return false;
    const [a, b] = [one.self.raftId, other.self.raftId];
    return a === b || !(this.#cut.has(`${a}>${b}`) || this.#cut.has(`${b}>${a}`));
  }

  hasQuorum(member: ModelStore): boolean {
    const heard = this.#members.filter((other) => this.reaches(member, other)).length;
    return heard > this.#members.length / 2;
  }

  /** Tries until it is in the log. */
  send(request: Request): void {
    const { random } = this.world;
    const { author } = request;
    if (request.over) return;
    const leader = this.#leader;
    const { run } = author;
    const retry = (): void => {
      this.world.after(random.between(10, RETRY_MS), () => {
        if (author.run === run) this.send(request);
      });
    };
    // What follows from leading goes into the leader's own log only.
    const own = request.term === undefined || leader === author;
    if (!leader || !own || !this.reaches(author, leader) || !this.hasQuorum(leader)) {
      if (author.isUp) retry();
      return;
    }
    this.world.after(random.between(0.3, this.plan.commitMs), () => {
      if (this.#leader !== leader || !this.hasQuorum(leader)) retry();
      else this.#append(request);
    });
  }

  /** Everybody who can hear the leader learns what is in the log. */
  catchUp(): void {
    const leader = this.#leader;
    if (!leader) return;
    for (const member of this.#members) {
      if (!this.reaches(leader, member) || member.applied === this.log.length) continue;
      const end = this.log.length;
      const delay = member === leader ? 0 : this.world.random.between(0.2, this.plan.commitMs);
      const { run } = member;
      this.world.after(delay, () => {
        if (member.run === run && this.#leader && this.reaches(this.#leader, member)) {
          member.applyTo(end);
        }
      });
    }
  }

  settleLeadership(): void {
    const leader = this.#leader;
    if (leader && this.hasQuorum(leader)) return;
    if (leader?.isUp) {
      const { run } = leader;
      this.world.after(this.world.random.between(1000, 2000), () => {
        if (leader.run === run && this.#leader === leader && !this.hasQuorum(leader)) {
          this.#leader = undefined;
        }
        if (leader.run === run && this.#leader !== leader) leader.lead(false);
      });
    } else if (leader) this.#leader = undefined;
    this.#election ??= this.world.after(this.world.random.between(900, 2500), () => this.#elect());
  }

  #append(request: Request): void {
    // A piece whose predecessor was refused, or has not come through yet, does nothing.
    const { after } = request;
    if (after && after.index === undefined && after.refused === undefined) {
      this.send(request);
      return;
    }
    if (after?.refused !== undefined) request.refused = { reason: 'skipped' };
    if (request.term !== undefined && request.term !== this.#term) {
      request.refused = { reason: 'superseded' };
    }
    this.log.push(request);
    request.index = this.log.length;
    this.#leader?.applyTo(this.log.length);
    this.catchUp();
  }

  #elect(): void {
    this.#election = undefined;
    if (this.#leader && this.hasQuorum(this.#leader)) return;
    const able = this.#members.filter((member) => member.isUp && this.hasQuorum(member));
    if (able.length === 0) {
      this.#election = this.world.after(this.world.random.between(500, 1500), () => this.#elect());
      return;
    }
    const next = this.world.random.pick(able);
    const former = this.#leader;
    this.#leader = next;
    this.#term += 1;
    next.applyTo(this.log.length);
    if (former && this.reaches(former, next)) former.lead(false);
    next.lead(false);
    next.lead(true);
    this.catchUp();
  }

  #member(raftId: number): ModelStore {
    const member = this.#members.find(({ self }) => self.raftId === raftId);
    if (!member) throw new Error(`no member ${raftId}`);
    return member;
  }
}
