import { execFile, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { call, request } from '../../deploy/lab/api.ts';
import type { Host } from '../../deploy/lab/host.ts';
import { Lab } from '../../deploy/lab/lab.ts';
import { kernelState } from './kernel-state.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface TaskJson {
  readonly ID: string;
  readonly ServiceID: string;
  readonly Slot?: number;
  readonly NodeID?: string;
  readonly DesiredState: string;
  readonly Spec: { readonly ContainerSpec?: { readonly Image?: string } };
  readonly Status: {
    readonly State: string;
    readonly Message?: string;
    readonly Err?: string;
    readonly ContainerStatus?: { readonly ContainerID?: string; readonly PID?: number };
  };
}

export interface NodeJson {
  readonly ID: string;
  readonly Description: { readonly Hostname: string };
  readonly Status: { readonly State: string; readonly Addr: string };
  readonly ManagerStatus?: {
    readonly Leader?: boolean;
    readonly Reachability: string;
    readonly Addr: string;
  };
}

const ROOT = resolve(import.meta.dirname, '../..');
const WAIT_MS = 60_000;
/** Of a service that did not come up. */
const TASKS_SAID = 20;

/** A real cluster in network namespaces, with the example image in versions 1 and 2 on every host. */
export class TestCluster {
  readonly lab: Lab;
  readonly #before: readonly string[];

  private constructor(lab: Lab, before: readonly string[]) {
    this.lab = lab;
    this.#before = before;
  }

  static async start(
    name: string,
    options: {
      readonly managers?: number;
      readonly agents?: number;
      readonly family?: 'ipv4' | 'ipv6';
    } = {},
  ): Promise<TestCluster> {
    await removeLeftover(name);
    const before = kernelState(name);
    const { managers = 3, agents = 3, family } = options;
    const lab = await Lab.up({ name, managers, agents, join: true, family });
    const cluster = new TestCluster(lab, before);
    await cluster.loadImages();
    return cluster;
  }

  /** Removes the cluster. @returns what it left in the kernel; empty when all is as before */
  async stop(): Promise<readonly string[]> {
    await this.lab.down();
    const before = new Set(this.#before);
    return kernelState(this.lab.name).filter((line) => !before.has(line));
  }

  host(name: string): Host {
    return this.lab.host(name);
  }

  async loadImages(): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), 'muster-test-'));
    try {
      for (const version of ['1', '2']) {
        const archive = join(folder, `web${version}.tar`);
        execFileSync(process.execPath, [
          join(ROOT, 'deploy/image/make.mjs'),
          archive,
          `muster/web:${version}`,
          `VERSION=${version}`,
        ]);
        await Promise.all(
          this.lab.hosts.map((host) => this.ctl(host.name, 'image', 'load', '-q', '-i', archive)),
        );
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** Runs ctl against a host; throws when it fails. */
  async ctl(host: string, ...args: readonly string[]): Promise<string> {
    const done = await this.tryCtl(host, ...args);
    if (done.code !== 0)
      throw new Error(`ctl ${args.join(' ')} failed with ${done.code}: ${done.err}${done.out}`);
    return done.out;
  }

  tryCtl(host: string, ...args: readonly string[]): Promise<Ran> {
    return this.#run(host, process.execPath, [join(ROOT, 'dist/ctl.js'), ...args]);
  }

  /** The stock docker client against a host. */
  async docker(host: string, ...args: readonly string[]): Promise<string> {
    const done = await this.tryDocker(host, ...args);
    if (done.code !== 0)
      throw new Error(`docker ${args.join(' ')} failed with ${done.code}: ${done.err}${done.out}`);
    return done.out;
  }

  tryDocker(host: string, ...args: readonly string[]): Promise<Ran> {
    return this.#run(host, 'docker', args);
  }

  /** Runs a program inside a host's network namespace. */
  inside(host: string, program: string, ...args: readonly string[]): Promise<Ran> {
    return this.#run(host, 'nsenter', [
      `--net=/run/netns/${this.host(host).netns}`,
      '--',
      program,
      ...args,
    ]);
  }

  /** Starts a program inside a host's network namespace; its output is gathered until it ends. */
  background(
    host: string,
    program: string,
    ...args: readonly string[]
  ): { readonly begun: Promise<void>; readonly done: Promise<Ran>; stop(): void } {
    const child = spawn(
      'nsenter',
      [`--net=/run/netns/${this.host(host).netns}`, '--', program, ...args],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    const begun = new Promise<void>((settle) => child.stderr.once('data', () => settle()));
    child.stderr.on('data', (chunk) => {
      err += chunk;
    });
    const done = new Promise<Ran>((settle) =>
      child.on('close', (code) => settle({ code: code ?? 1, out, err })),
    );
    return { begun, done, stop: (): void => void child.kill('SIGTERM') };
  }

  async api<T>(host: string, method: string, path: string, body?: unknown): Promise<T> {
    return (await call(this.host(host).socket, method, path, body)) as T;
  }

  async apiStatus(
    host: string,
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ readonly status: number; readonly message: string }> {
    const answer = await request(this.host(host).socket, method, path, body);
    const parsed = answer.text.startsWith('{')
      ? (JSON.parse(answer.text) as { message?: string })
      : {};
    return { status: answer.status, message: parsed.message ?? answer.text };
  }

  /** Tasks that are wanted and running, of one service. */
  async running(service: string, host = 'h1'): Promise<readonly TaskJson[]> {
    const filters = encodeURIComponent(
      JSON.stringify({ service: [service], 'desired-state': ['running'] }),
    );
    const tasks = await this.api<TaskJson[]>(host, 'GET', `/tasks?filters=${filters}`);
    return tasks.filter((task) => task.Status.State === 'running');
  }

  async nodes(host = 'h1'): Promise<readonly NodeJson[]> {
    return await this.api<NodeJson[]>(host, 'GET', '/nodes');
  }

  async hostOf(task: TaskJson, ask = 'h1'): Promise<string> {
    return (
      (await this.nodes(ask)).find((node) => node.ID === task.NodeID)?.Description.Hostname ?? ''
    );
  }

  /** Host name of the leader, asked of a manager that is up. */
  async leader(ask: string): Promise<string> {
    let name = '';
    await eventually(`a leader known to ${ask}`, async () => {
      name =
        (await this.nodes(ask)).find((node) => node.ManagerStatus?.Leader)?.Description.Hostname ??
        '';
      return name !== '';
    });
    return name;
  }

  async waitRunning(service: string, count: number, host = 'h1'): Promise<readonly TaskJson[]> {
    let tasks: readonly TaskJson[] = [];
    await eventually(`${count} running tasks of ${service}`, async () => {
      tasks = await this.running(service, host);
      return tasks.length === count;
    }).catch(async (cause: unknown) => {
      throw new Error(`${String(cause)}: ${await this.#states(service, host)}`, { cause });
    });
    return tasks;
  }

  /** Where every task of a service and every node is, for whoever waited in vain. */
  async #states(service: string, host: string): Promise<string> {
    const filters = encodeURIComponent(JSON.stringify({ service: [service] }));
    const tasks = await this.api<TaskJson[]>(host, 'GET', `/tasks?filters=${filters}`);
    const nodes = await this.nodes(host);
    const nameOf = new Map(nodes.map(({ ID, Description }) => [ID, Description.Hostname]));
    const lines = tasks.map(({ ID, NodeID = '', DesiredState, Status }) =>
      [ID, nameOf.get(NodeID), Status.State, 'to', DesiredState, Status.Err ?? ''].join(' ').trim(),
    );
    const states = nodes.map(
      ({ Description, Status }) => `${Description.Hostname} ${Status.State}`,
    );
    return [...lines.slice(0, TASKS_SAID), ...states].join('; ');
  }

  /** Runs a shell command in the container of a task. */
  async execIn(task: TaskJson, command: string, ask = 'h1'): Promise<string> {
    const host = await this.hostOf(task, ask);
    return await this.docker(
      host,
      'exec',
      task.Status.ContainerStatus?.ContainerID ?? '',
      'sh',
      '-c',
      command,
    );
  }

  #run(host: string, program: string, args: readonly string[]): Promise<Ran> {
    const env = {
      ...process.env,
      DOCKER_HOST: `unix://${this.host(host).socket}`,
      NODE_EXTRA_CA_CERTS: '',
    };
    return new Promise((settle) => {
      execFile(
        program,
        [...args],
        { env, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, timeout: 150_000 },
        (error, out, err) => {
          const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
          settle({ code, out, err: err === '' && error !== null ? error.message : err });
        },
      );
    });
  }
}

/** A run that was killed could not take its cluster with it. */
async function removeLeftover(name: string): Promise<void> {
  if (existsSync(`/var/lib/muster/labs/${name}`)) await Lab.open(name).down();
}

/** Waits for a condition on other processes; a refused connection counts as not yet. */
export async function eventually(
  what: string,
  condition: () => Promise<boolean>,
  timeoutMs = WAIT_MS,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  while (performance.now() < deadline) {
    try {
      if (await condition()) return;
    } catch (error) {
      last = error;
    }
    await new Promise((settle) => setTimeout(settle, 25));
  }
  throw new Error(
    `gave up waiting for ${what} after ${timeoutMs / 1000} s${last === undefined ? '' : `: ${String(last)}`}`,
  );
}
