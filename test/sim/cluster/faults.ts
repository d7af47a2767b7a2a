import type { World } from '../store/world.ts';
import type { Group } from './group.ts';
import type { Host } from './host.ts';
import type { Judge } from './judge.ts';
import type { Links } from './links.ts';
import type { Manager } from './manager.ts';

export interface FaultsOptions {
  readonly world: World;
  readonly links: Links;
  readonly group: Group;
  readonly hosts: readonly Host[];
  readonly managers: readonly Manager[];
  readonly judge: Judge;
  readonly removeNode: (host: Host) => void;
}

/** What goes wrong, drawn from the seed; everything is mended again, but for machines that were given up. */
export class Faults {
  readonly #options: FaultsOptions;
  readonly gone = new Set<Host>();
  #calm = false;

  constructor(options: FaultsOptions) {
    this.#options = options;
  }

  one(): void {
    const { world, managers, hosts } = this.#options;
    const { random } = world;
    const manager = random.pick(managers);
    const host = random.pick(hosts.filter((one) => !this.gone.has(one)));
    const roll = random.below(100);
    if (roll < 14) this.#killManager(manager);
    else if (roll < 24) this.#transfer();
    else if (roll < 34) this.#partition(manager);
    else if (roll < 40) this.#freezeManager(manager);
    else if (roll < 52) this.#killAgent(host);
    else if (roll < 66) this.#powerOff(host);
    else if (roll < 74) this.#freezeHost(host);
    else if (roll < 86) this.#cut(host);
    else if (roll < 94) this.#slow(host);
    else if (roll < 97) this.#loseLeaderHost(host);
    else this.#giveUp(host);
  }

  /** The end of all faults. */
  mend(): void {
    const { links, group, hosts, managers, judge } = this.#options;
    this.#calm = true;
    links.heal();
    group.heal();
    for (const machine of [...hosts, ...managers]) if (machine.standsStill) machine.thaw();
    for (const manager of managers) if (!manager.isUp) manager.start();
    for (const host of hosts) if (!host.isUp && !this.gone.has(host)) host.start();
    judge.disturbed('mended');
  }

  #later(fromMs: number, toMs: number, what: string, action: () => void): void {
    const { world, judge } = this.#options;
    world.after(world.random.between(fromMs, toMs), () => {
      if (this.#calm) return;
      judge.disturbed(what);
      action();
    });
  }

  #killManager(manager: Manager): void {
    if (!manager.isUp) return;
    const { judge, world } = this.#options;
    const told = world.random.chance(0.6);
    judge.fault(`${manager.nodeId} is killed${told ? '' : ', with its machine'}`);
    manager.kill(told);
    this.#later(100, 4000, `${manager.nodeId} starts`, () => {
      if (!manager.isUp) manager.start();
    });
  }

  #transfer(): void {
    this.#options.judge.fault('leadership is handed over');
    this.#options.group.transfer();
  }

  #isolate(manager: Manager): void {
    const { group, managers } = this.#options;
    for (const { raftId } of managers) {
      if (raftId === manager.raftId) continue;
      group.cut(manager.raftId, raftId);
      group.cut(raftId, manager.raftId);
    }
  }

  #partition(manager: Manager): void {
    const { judge, group } = this.#options;
    judge.fault(`${manager.nodeId} is cut from the managers`);
    this.#isolate(manager);
    this.#later(300, 6000, 'managers are connected again', () => group.heal());
  }

  #freezeManager(manager: Manager): void {
    if (!manager.isUp) return;
    const { judge, group } = this.#options;
    judge.fault(`${manager.nodeId} stands still`);
    this.#isolate(manager);
    manager.freeze();
    this.#later(200, 6000, `${manager.nodeId} goes on`, () => {
      // What it left undone comes before any news.
      manager.thaw();
      group.heal();
    });
  }

  #killAgent(host: Host): void {
    this.#options.judge.fault(`agent of ${host.nodeId} is killed`);
    host.killAgent();
    this.#later(50, 6000, `agent of ${host.nodeId} starts`, () => this.#start(host));
  }

  #powerOff(host: Host): void {
    this.#options.judge.fault(`${host.nodeId} loses power`);
    host.powerOff();
    this.#later(500, 9000, `${host.nodeId} starts`, () => this.#start(host));
  }

  #start(host: Host): void {
    if (!host.isUp && !this.gone.has(host)) host.start();
  }

  #freezeHost(host: Host): void {
    this.#options.judge.fault(`agent of ${host.nodeId} stands still`);
    host.freeze();
    this.#later(200, 8000, `agent of ${host.nodeId} goes on`, () => host.thaw());
  }

  #cut(host: Host): void {
    const { judge, links, managers, world } = this.#options;
    const from = world.random.chance(0.5) ? managers : [world.random.pick(managers)];
    judge.fault(`${host.nodeId} is cut from ${from.map(({ nodeId }) => nodeId).join()}`);
    for (const { nodeId } of from) links.cut(host.nodeId, nodeId);
    this.#later(200, 9000, 'agents are connected again', () => links.heal());
  }

  #slow(host: Host): void {
    const { judge, links, world } = this.#options;
    const extraMs = world.random.between(50, 1400);
    judge.fault(`${host.nodeId} is slow, ${extraMs.toFixed(0)} ms`);
    links.slow(host.nodeId, extraMs);
    this.#later(500, 6000, 'nobody is slow', () => links.heal());
  }

  #loseLeaderHost(host: Host): void {
    const leader = this.#options.managers.find((one) => one.isUp && one.store.isLeader());
    if (leader) this.#killManager(leader);
    this.#powerOff(host);
  }

  /** Its machine never comes back; the operator removes it when it is known to be down. */
  #giveUp(host: Host): void {
    const { judge, hosts, removeNode } = this.#options;
    if (hosts.length - this.gone.size <= 2) return;
    judge.fault(`${host.nodeId} is given up`);
    host.powerOff();
    this.gone.add(host);
    this.#later(5000, 7000, `${host.nodeId} is removed`, () => removeNode(host));
  }
}
