import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { request } from './api.ts';
import {
  attempt,
  cgroupMounts,
  isAlive,
  livePid,
  processesBelow,
  processHierarchy,
  removeCgroup,
  run,
  signal,
  unmountBelow,
  until,
} from './shell.ts';

/** What `lab.json` keeps of a host. */
export interface HostRecord {
  readonly name: string;
  readonly role: 'manager' | 'worker';
  readonly address: string;
}

export type Target = 'manager' | 'agent' | 'all';

/** From the bundle dist/lab.js, and from this source when tests import it. */
const PROGRAM = ['../dist/agent.js', '../../dist/agent.js']
  .map((path) => resolve(import.meta.dirname, path))
  .find((path) => existsSync(path));
const AGENT_START_TIMEOUT_MS = 60_000;

/** One pretended machine: a network namespace with its own link to the switch, data folder, cgroup and API socket. */
export class Host {
  readonly name: string;
  readonly role: 'manager' | 'worker';
  readonly socket: string;
  readonly dataDir: string;
  readonly runDir: string;
  readonly netns: string;
  readonly cgroupParent: string;
  readonly #switchNetns: string;
  #address: string;

  constructor(lab: { readonly name: string; readonly folder: string }, record: HostRecord) {
    this.name = record.name;
    this.role = record.role;
    this.#address = record.address;
    this.runDir = `/run/muster/${lab.name}/${record.name}`;
    this.socket = join(this.runDir, 'muster.sock');
    this.dataDir = join(lab.folder, record.name);
    this.netns = `mu-${lab.name}-${record.name}`;
    this.cgroupParent = `/muster/${lab.name}/${record.name}`;
    this.#switchNetns = `mu-${lab.name}-sw`;
  }

  get address(): string {
    return this.#address;
  }

  get agentPid(): number | undefined {
    return livePid(join(this.runDir, 'agent.pid'));
  }

  get managerPid(): number | undefined {
    return livePid(join(this.runDir, 'manager.pid'));
  }

  /** Namespace and link to the switch. */
  createNetwork(): void {
    run('ip', 'netns', 'add', this.netns);
    run('ip', '-n', this.netns, 'link', 'set', 'lo', 'up');
    const peer = ['peer', 'name', this.name, 'netns', this.#switchNetns];
    run('ip', 'link', 'add', 'name', 'eth0', 'netns', this.netns, 'type', 'veth', ...peer);
    run('ip', '-n', this.#switchNetns, 'link', 'set', this.name, 'master', 'br0', 'up');
    run('ip', '-n', this.netns, 'addr', 'add', ...onLink(this.address));
    run('ip', '-n', this.netns, 'link', 'set', 'eth0', 'up');
  }

  /** As a machine that was given another address while it was off: its agent learns of it at its next start. */
  readdress(address: string): void {
    run('ip', '-n', this.netns, 'addr', 'del', ...onLink(this.address));
    run('ip', '-n', this.netns, 'addr', 'add', ...onLink(address));
    this.#address = address;
  }

  /**
   * Start the agent (which starts this host's manager, if it has one) and wait until its socket answers. `options`: of
   * the agent, beside those it always has.
   */
  async start(options: readonly string[] = []): Promise<void> {
    if (this.agentPid !== undefined) return;
    mkdirSync(this.dataDir, { recursive: true });
    mkdirSync(this.runDir, { recursive: true });
    const group = join(processHierarchy(), this.cgroupParent, 'daemon');
    mkdirSync(group, { recursive: true });
    if (PROGRAM === undefined) throw new Error('nothing is built yet: npm run build');
    const log = openSync(join(this.dataDir, 'agent.log'), 'a');
    // The shell joins the host's cgroup, then becomes the agent: the process id stays.
    const script = 'echo $$ > "$1"; shift; exec "$@"';
    const enter = [
      'nsenter',
      `--net=/run/netns/${this.netns}`,
      process.execPath,
      PROGRAM,
      ...this.#agentArguments(),
      ...options,
    ];
    const child = spawn('sh', ['-c', script, 'sh', join(group, 'cgroup.procs'), ...enter], {
      detached: true,
      stdio: ['ignore', log, log],
      cwd: '/',
    });
    child.unref();
    const pid = child.pid;
    if (pid === undefined) throw new Error(`starting the agent of ${this.name} failed`);
    writeFileSync(join(this.runDir, 'agent.pid'), `${pid}\n`);
    await until(`the agent of ${this.name}`, AGENT_START_TIMEOUT_MS, async () => {
      if (!isAlive(pid))
        throw new Error(`the agent of ${this.name} ended; see ${this.dataDir}/agent.log`);
      return await this.answers();
    });
  }

  async answers(): Promise<boolean> {
    if (!existsSync(this.socket)) return false;
    return await request(this.socket, 'GET', '/_ping').then(
      (answer) => answer.status === 200,
      () => false,
    );
  }

  /** SIGKILL. `all` is a power cut: agent, manager, shims and containers at once. */
  async kill(target: Target): Promise<void> {
    if (target !== 'all') {
      const pid = target === 'agent' ? this.agentPid : this.managerPid;
      if (!signal(pid, 'SIGKILL')) throw new Error(`no ${target} is running on ${this.name}`);
      await until(`the end of ${target} on ${this.name}`, 5_000, () => !isAlive(pid));
      return;
    }
    const group = join(processHierarchy(), this.cgroupParent);
    await until(`the end of every process of ${this.name}`, 10_000, () => {
      // The supervisor first: what it would start again must not be started.
      signal(this.agentPid, 'SIGKILL');
      const alive = processesBelow(group).filter(isAlive);
      for (const pid of alive) signal(pid, 'SIGKILL');
      return alive.length === 0;
    });
  }

  /** SIGTERM to the agent and the manager: containers go on. */
  async stop(): Promise<void> {
    const pids = [this.agentPid, this.managerPid];
    for (const pid of pids) signal(pid, 'SIGTERM');
    await until(`${this.name} to stop`, 15_000, () => pids.every((pid) => !isAlive(pid)));
  }

  freeze(target: Target, name: 'SIGSTOP' | 'SIGCONT'): void {
    const wanted = {
      agent: [this.agentPid],
      manager: [this.managerPid],
      all: [this.agentPid, this.managerPid],
    };
    const pids = wanted[target].filter((pid) => pid !== undefined);
    if (pids.length === 0) throw new Error(`no ${target} is running on ${this.name}`);
    for (const pid of pids) signal(pid, name);
  }

  setLink(state: 'up' | 'down'): void {
    run('ip', '-n', this.#switchNetns, 'link', 'set', this.name, state);
  }

  /** Every trace of the host: processes, mounts, namespace, cgroups, files. */
  async destroy(): Promise<void> {
    await this.kill('all');
    unmountBelow(this.dataDir);
    unmountBelow(this.runDir);
    attempt('ip', 'netns', 'del', this.netns);
    const groups = cgroupMounts().map((mount) => join(mount, this.cgroupParent));
    await until(`the cgroups of ${this.name} to go`, 5_000, () => {
      for (const group of groups) removeCgroup(group);
      return groups.every((group) => !existsSync(group));
    });
    rmSync(this.dataDir, { recursive: true, force: true });
    rmSync(this.runDir, { recursive: true, force: true });
  }

  #agentArguments(): readonly string[] {
    return [
      ['--data-dir', this.dataDir],
      ['--run-dir', this.runDir],
      ['--socket', this.socket],
      ['--hostname', this.name],
      ['--cgroup-parent', this.cgroupParent],
      ['--advertise-address', this.address],
    ].flat();
  }
}

/** Nobody else has it, so IPv6 need not look for others (`nodad`) before it is used. */
function onLink(address: string): readonly string[] {
  const [length, ...flags] = address.includes(':') ? [64, 'nodad'] : [24];
  return [`${address}/${length}`, 'dev', 'eth0', ...flags.map(String)];
}
