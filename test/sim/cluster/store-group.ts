import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../../pkg/io/index.ts';
import type { Member, Store } from '../../../pkg/store/index.ts';
import { SimMember } from '../store/member.ts';
import { Places } from '../store/places.ts';
import { drawPlan as drawStorePlan } from '../store/plan.ts';
import { SimNetwork } from '../store/sim-network.ts';
import { Witness } from '../store/witness.ts';
import type { World } from '../store/world.ts';
import type { Group, ManagerStore } from './group.ts';
import type { Plan } from './plan.ts';

/** Real stores, on disks and paths as bad as those of test/sim/store. */
export class StoreGroup implements Group, Disposable {
  readonly #world: World;
  readonly #network: SimNetwork;
  readonly #members: readonly SimMember[];
  readonly #folder = mkdtempSync(join(tmpdir(), 'muster-sim-'));
  #formed = false;

  constructor(world: World, { clockOffsetMs }: Plan, selves: readonly Member[]) {
    this.#world = world;
    const plan = { ...drawStorePlan(world.random), clockOffsetMs };
    const places = new Places(world.random, 0);
    const addressOf = (raftId: number): string => places.addressOf(raftId);
    this.#network = new SimNetwork(world, plan.network, addressOf);
    const around = {
      world,
      network: this.#network,
      places,
      plan,
      folder: this.#folder,
      witness: new Witness(),
    };
    this.#members = selves.map(({ raftId }) => new SimMember(raftId, around));
  }

  [Symbol.dispose](): void {
    for (const member of this.#members) if (member.isUp) member.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async form(): Promise<void> {
    const [first, ...others] = this.#members;
    if (!first) return;
    while (!first.store.isLeader()) await this.#world.pause(50);
    for (const member of others) {
      for (let added = false; !added; ) {
        added = await first.store.addMember(member.self).then(
          () => true,
          () => false,
        );
        await this.#world.pause(100);
      }
      const known = this.#members.slice(0, this.#members.indexOf(member) + 1);
      while (!known.every((each) => votes(each, member))) await this.#world.pause(100);
    }
    this.#formed = true;
  }

  start(raftId: number, _clock: Clock): ManagerStore {
    const member = this.#member(raftId);
    const [first] = this.#members;
    if (this.#formed || !first) member.start([]);
    else member.start(member === first ? 'bootstrap' : [first.self]);
    return member.store;
  }

  kill(raftId: number): void {
    this.#member(raftId).kill();
  }

  cut(from: number, to: number): void {
    this.#network.cut(from, to);
  }

  heal(): void {
    this.#network.heal();
  }

  transfer(): void {
    const leader = this.#members.find((member) => member.isUp && member.store.isLeader());
    leader?.store.transferLeadership().catch(() => undefined);
  }

  isSettled(): boolean {
    const up = this.#members.filter((member) => member.isUp);
    const indexes = new Set(up.map(({ store }) => store.view.index));
    return (
      up.length === this.#members.length &&
      indexes.size === 1 &&
      up.some(({ store }) => store.isLeader())
    );
  }

  content(raftId: number): string {
    const { view } = this.#member(raftId).store as Store;
    const kinds = ['service', 'task', 'node', 'network', 'revision', 'cluster'] as const;
    return JSON.stringify(kinds.map((kind) => [...view.list(kind)]));
  }

  /** @throws Error when a store gave up by itself */
  check(): void {
    for (const { failed, refused, self } of this.#members) {
      const cause = failed ?? refused;
      if (cause !== undefined) throw new Error(`store of member ${self.raftId}`, { cause });
    }
  }

  #member(raftId: number): SimMember {
    const member = this.#members.find(({ self }) => self.raftId === raftId);
    if (!member) throw new Error(`no member ${raftId}`);
    return member;
  }
}

/** As `each` knows it. */
function votes(each: SimMember, { self }: SimMember): boolean {
  return each.store.members().some((one) => one.raftId === self.raftId && one.role === 'voter');
}
