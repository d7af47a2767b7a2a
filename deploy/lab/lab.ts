import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { call } from './api.ts';
import { Host, type HostRecord } from './host.ts';
import { attempt, cgroupMounts, removeCgroup, run, until } from './shell.ts';

const LABS = '/var/lib/muster/labs';
// Every lab has a switch of its own that leads nowhere else, so all of them can use the same addresses.
const PREFIX = { ipv4: '172.30.0.', ipv6: 'fd30::' } as const;
const FIRST_HOST = 11;
const HOSTS_MAX = 200;
const PORT = 2377;
/** More programs that start side by side keep each other from answering in time. */
const START_AT_ONCE = 8;

/** Several hosts on one machine, joined by a switch that is a network namespace too. */
export class Lab {
  readonly name: string;
  readonly folder: string;
  readonly hosts: readonly Host[];

  private constructor(name: string, records: readonly HostRecord[]) {
    this.name = name;
    this.folder = join(LABS, name);
    this.hosts = records.map((record) => new Host(this, record));
  }

  static open(name: string): Lab {
    const file = join(LABS, name, 'lab.json');
    if (!existsSync(file))
      throw new Error(`there is no lab ${name}; start one: npm run lab -- up --name ${name}`);
    const saved = JSON.parse(readFileSync(file, 'utf8')) as { hosts: HostRecord[] };
    return new Lab(name, saved.hosts);
  }

  /** Make the hosts and start their agents. Nothing is left behind when it fails. */
  static async up(options: {
    readonly name: string;
    readonly managers: number;
    readonly agents: number;
    readonly join: boolean;
    /** Of the only address that a host has; IPv4 when absent. */
    readonly family?: keyof typeof PREFIX | undefined;
  }): Promise<Lab> {
    const { name, managers, agents, family = 'ipv4' } = options;
    if (!/^[a-z0-9]{1,20}$/.test(name))
      throw new Error(`lab name ${name} is not 1 to 20 letters or digits`);
    if (existsSync(join(LABS, name)))
      throw new Error(`lab ${name} is up already; npm run lab -- down --name ${name}`);
    if (managers + agents > HOSTS_MAX || managers + agents < 1) {
      throw new Error(`a lab has 1 to ${HOSTS_MAX} hosts, not ${managers + agents}`);
    }
    const records = Array.from(
      { length: managers + agents },
      (_, index): HostRecord => ({
        name: `h${index + 1}`,
        role: index < managers ? 'manager' : 'worker',
        address: `${PREFIX[family]}${FIRST_HOST + index}`,
      }),
    );
    const lab = new Lab(name, records);
    mkdirSync(lab.folder, { recursive: true });
    writeFileSync(join(lab.folder, 'lab.json'), JSON.stringify({ hosts: records }));
    try {
      lab.#createSwitch();
      for (const host of lab.hosts) host.createNetwork();
      for (let first = 0; first < lab.hosts.length; first += START_AT_ONCE) {
        const some = lab.hosts.slice(first, first + START_AT_ONCE);
        await Promise.all(some.map((host) => host.start()));
      }
      if (options.join && managers > 0) await lab.join();
    } catch (error) {
      if (!process.argv.includes('--keep')) await lab.down();
      throw error;
    }
    return lab;
  }

  host(name: string): Host {
    const host = this.hosts.find((candidate) => candidate.name === name);
    if (host) return host;
    const known = this.hosts.map((candidate) => candidate.name).join(', ');
    throw new Error(`lab ${this.name} has no host ${name}; it has ${known}`);
  }

  /** One cluster of all hosts: the first makes it, the others join by role. */
  async join(): Promise<void> {
    const [first, ...others] = this.hosts;
    if (!first) return;
    const listen = `${first.address.includes(':') ? '[::]' : '0.0.0.0'}:${PORT}`;
    const manager = first.address.includes(':') ? `[${first.address}]` : first.address;
    await call(first.socket, 'POST', '/swarm/init', {
      ListenAddr: listen,
      AdvertiseAddr: first.address,
    });
    const swarm = (await call(first.socket, 'GET', '/swarm')) as {
      JoinTokens: { Manager: string; Worker: string };
    };
    const joinOne = async (host: Host): Promise<void> => {
      const tokens = swarm.JoinTokens;
      await call(host.socket, 'POST', '/swarm/join', {
        ListenAddr: listen,
        AdvertiseAddr: host.address,
        RemoteAddrs: [`${manager}:${PORT}`],
        JoinToken: host.role === 'manager' ? tokens.Manager : tokens.Worker,
      });
    };
    // A configuration change is one at a time in Raft; workers may come all at once.
    for (const host of others.filter((other) => other.role === 'manager')) await joinOne(host);
    await Promise.all(others.filter((other) => other.role === 'worker').map(joinOne));
    await until('every node to be ready', 90_000, async () => {
      const nodes = (await call(first.socket, 'GET', '/nodes')) as { Status: { State: string } }[];
      return nodes.filter((node) => node.Status.State === 'ready').length === this.hosts.length;
    });
  }

  /** Gives hosts other addresses; those in use belong to running agents that do not know it yet. */
  readdress(addresses: ReadonlyMap<Host, string>): void {
    for (const [host, address] of addresses) host.readdress(address);
    const hosts = this.hosts.map(({ name, role, address }) => ({ name, role, address }));
    writeFileSync(join(this.folder, 'lab.json'), JSON.stringify({ hosts }));
  }

  /** Drop (or let pass again) everything between two hosts. */
  setPath(one: Host, other: Host, state: 'cut' | 'healed'): void {
    const netns = `mu-${this.name}-sw`;
    const table = `cut-${[one.name, other.name].toSorted().join('-')}`;
    attempt('ip', 'netns', 'exec', netns, 'nft', 'delete', 'table', 'bridge', table);
    if (state === 'healed') return;
    const protocol = one.address.includes(':') ? 'ip6' : 'ip';
    const drop = (from: Host, to: Host): string =>
      `${protocol} saddr ${from.address} ${protocol} daddr ${to.address} drop`;
    const chain = `type filter hook forward priority 0; ${drop(one, other)}; ${drop(other, one)};`;
    run(
      'ip',
      'netns',
      'exec',
      netns,
      'nft',
      `add table bridge ${table}; add chain bridge ${table} f { ${chain} }`,
    );
  }

  /** End and remove everything of this lab. Safe to call again after a crash half-way. */
  async down(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.destroy()));
    attempt('ip', 'netns', 'del', `mu-${this.name}-sw`);
    const groups = cgroupMounts();
    for (const mount of groups) removeCgroup(join(mount, 'muster', this.name));
    rmSync(this.folder, { recursive: true, force: true });
    rmSync(`/run/muster/${this.name}`, { recursive: true, force: true });
    if (existsSync(LABS) && readdirSync(LABS).length === 0) this.#removeLast(groups);
  }

  /** After the last lab not even the folders that held them stay. */
  #removeLast(groups: readonly string[]): void {
    for (const mount of groups) removeCgroup(join(mount, 'muster'));
    for (const folder of [LABS, '/var/lib/muster', '/run/muster']) {
      if (existsSync(folder) && readdirSync(folder).length === 0)
        rmSync(folder, { recursive: true });
    }
  }

  #createSwitch(): void {
    const netns = `mu-${this.name}-sw`;
    run('ip', 'netns', 'add', netns);
    run('ip', '-n', netns, 'link', 'add', 'br0', 'type', 'bridge');
    run('ip', '-n', netns, 'link', 'set', 'br0', 'up');
  }
}
