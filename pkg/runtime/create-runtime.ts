import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  type Clock,
  type Logger,
  processStartTime,
  silentLogger,
  sleep,
  systemClock,
} from '../io/index.ts';
import { ShimAttachment } from './attachment.ts';
import { checkResources } from './cgroup/resources.ts';
import { containerPlan, type Placement } from './container-plan.ts';
import { deviceRules } from './devices.ts';
import { execInContainer } from './exec.ts';
import { FRAME, windowSize } from './frame.ts';
import { failure, launch } from './launch.ts';
import { allHostDevices, hostDevice, type Machine, readMachine } from './machine.ts';
import { describeProcess } from './processes.ts';
import { readLogFile } from './read-log.ts';
import {
  type Attachment,
  type ContainerProcess,
  type ContainerState,
  type ContainerStats,
  type CreatedContainer,
  caused,
  type ExecHandle,
  type ExitStatus,
  type LogOptions,
  type LogRecord,
  type Runtime,
  RuntimeError,
} from './runtime.ts';
import { askShim, shimEnded } from './shim-connection.ts';
import { signalNumber } from './signals.ts';
import type { ContainerSpec, ExecSpec, Resources } from './spec.ts';
import { type ContainerRecord, checkId, StateDir } from './state-dir.ts';
import { isEnding, lookAtShim, readStatus } from './status.ts';

export interface RuntimeOptions {
  /** The `muster-init` program (`pkg/runtime/init/build/muster-init`). */
  readonly initPath: string;
  /** Absolute directory, owned by this runtime alone; made when missing. */
  readonly stateDir: string;
  readonly logger?: Logger | undefined;
  readonly clock?: Clock | undefined;
}

/** The runtime of one state directory on this machine. Throws `failed` where the machine has no cgroups. */
export function createRuntime(options: RuntimeOptions): Runtime {
  return new LinuxRuntime(options, readMachine());
}

const DEFAULT_PARENT = '/muster';
/** A shim's answer. */
const FENCED = "the cluster has not been heard for as long as the service's fence";
const LOST_CODE = 137;
/** How often a cgroup is tried that the kernel still calls busy, and for how long. */
const REMOVE_RETRY_MS = 10;
const REMOVE_GIVE_UP_MS = 10_000;
/** Pause before asking again when a shim lives and does not listen. */
const SETTLE_MS = 20;

class LinuxRuntime implements Runtime {
  readonly #initPath: string;
  readonly #dirs: StateDir;
  readonly #machine: Machine;
  readonly #logger: Logger;
  readonly #clock: Clock;
  /** One connection serves all who wait for the same container. */
  readonly #waits = new Map<string, Promise<ExitStatus>>();

  constructor(options: RuntimeOptions, machine: Machine) {
    this.#initPath = options.initPath;
    this.#dirs = new StateDir(options.stateDir);
    this.#machine = machine;
    this.#logger = options.logger ?? silentLogger;
    this.#clock = options.clock ?? systemClock;
    mkdirSync(options.stateDir, { recursive: true, mode: 0o711 });
  }

  async create(spec: ContainerSpec): Promise<CreatedContainer> {
    checkId(spec.id);
    checkResources(spec.resources ?? {});
    const dir = this.#dirs.path(spec.id);
    const cgroup = `${spec.cgroupParent ?? DEFAULT_PARENT}/${spec.id}`;
    const devices = (spec.devices ?? []).map(hostDevice);
    const rules = deviceRules({
      privileged: spec.privileged ?? false,
      nodes: devices,
      rules: spec.deviceCgroupRules ?? [],
    });
    const logPath = spec.log?.path ?? `${dir}/log`;
    const record = { version: 1, spec, cgroup, deviceRules: rules, logPath } as const;
    const plan = containerPlan(spec, this.#machine.facts, {
      placement: this.#placement(record),
      mountPoint: `${dir}/root`,
      logPath,
      nodes: spec.privileged ? allHostDevices() : devices.map((device) => device.node),
    });
    this.#dirs.make(dir);
    try {
      mkdirSync(`${dir}/root`);
      mkdirSync(dirname(logPath), { recursive: true });
      // A cgroup of an earlier life must go first: once killed through, it kills whatever is born into it.
      await this.#removeCgroup(record);
      this.#machine.cgroups.create(cgroup, spec.resources ?? {}, rules);
      this.#dirs.write(spec.id, record);
      const status = await launch(this.#initPath, 'run', dir, plan);
      const netns = `/proc/${status.pid}/ns/net`;
      return { pid: status.pid, startTime: status.pidStart, netns };
    } catch (error) {
      await this.#removeCgroup(record);
      this.#dirs.remove(dir);
      throw error;
    }
  }

  #placement(record: ContainerRecord): Placement {
    return this.#machine.cgroups.placement(record.cgroup, record.deviceRules);
  }

  async start(id: string): Promise<void> {
    this.#dirs.read(id);
    const answer = await askShim(this.#dirs.path(id), FRAME.start).catch(notRunning(id));
    if (answer === 'already started') throw new RuntimeError('conflict', `${id}: ${answer}`);
    if (answer === FENCED) throw new RuntimeError('fenced', answer);
    if (answer) throw failure(answer);
  }

  async kill(id: string, signal: number | string): Promise<void> {
    this.#dirs.read(id);
    const number = signalNumber(signal);
    const payload = Buffer.from([0, 0, 0, number]);
    const answer = await askShim(this.#dirs.path(id), FRAME.kill, payload).catch(notRunning(id));
    if (answer) throw new RuntimeError('conflict', `cannot signal ${id}: ${answer}`);
  }

  wait(id: string): Promise<ExitStatus> {
    const known = this.#waits.get(id);
    if (known !== undefined) return known;
    const wait = this.#wait(id).finally(() => this.#waits.delete(id));
    this.#waits.set(id, wait);
    return wait;
  }

  async #wait(id: string): Promise<ExitStatus> {
    for (;;) {
      const { exit } = await this.state(id);
      if (exit) return exit;
      // Not to be able to ask (no file descriptors left) says nothing about the container.
      await shimEnded(this.#dirs.path(id)).catch(() => undefined);
      if (!(await this.state(id)).exit) await sleep(this.#clock, SETTLE_MS);
    }
  }

  state(id: string): Promise<ContainerState> {
    return Promise.resolve().then(() => this.#state(this.#dirs.read(id)));
  }

  #state(record: ContainerRecord): ContainerState {
    const dir = this.#dirs.path(record.spec.id);
    const { status, alive } = lookAtShim(() => readStatus(dir), processStartTime);
    const startedAtNs = status?.startedAtNs || undefined;
    if (status?.exit) {
      return {
        status: 'exited',
        pid: 0,
        startTime: status.pidStart,
        startedAtNs,
        ending: false,
        exit: status.exit,
      };
    }
    if (!status || !alive) {
      const finishedAtNs = BigInt(this.#clock.now()) * 1_000_000n;
      const exit = { code: LOST_CODE, oomKilled: false, finishedAtNs };
      const startTime = status?.pidStart ?? '0';
      return { status: 'lost', pid: 0, startTime, startedAtNs, ending: false, exit };
    }
    const paused = status.state === 'running' && this.#machine.cgroups.isFrozen(record.cgroup);
    return {
      status: paused ? 'paused' : status.state,
      pid: status.pid,
      startTime: status.pidStart,
      startedAtNs,
      ending: isEnding(status.pid),
    };
  }

  list(): Promise<readonly string[]> {
    return Promise.resolve().then(() => this.#dirs.list());
  }

  async exec(id: string, spec: ExecSpec): Promise<ExecHandle> {
    checkId(spec.execId);
    const record = this.#dirs.read(id);
    const { pid, startTime } = this.#running(record);
    try {
      return await execInContainer(
        { initPath: this.#initPath, dirs: this.#dirs, facts: this.#machine.facts },
        record.spec,
        spec,
        { pid, startTime, placement: this.#placement(record) },
      );
    } catch (error) {
      this.#running(record); // it ended meanwhile: that is the better answer
      throw error;
    }
  }

  async attach(id: string): Promise<Attachment> {
    this.#dirs.read(id);
    return await ShimAttachment.open(this.#dirs.path(id)).catch(notRunning(id));
  }

  async resize(id: string, rows: number, cols: number): Promise<void> {
    this.#dirs.read(id);
    const payload = windowSize(rows, cols);
    const answer = await askShim(this.#dirs.path(id), FRAME.resize, payload).catch(notRunning(id));
    if (answer) throw new RuntimeError('conflict', answer);
  }

  async pause(id: string): Promise<void> {
    this.#freeze(id, 'running');
  }

  async resume(id: string): Promise<void> {
    this.#freeze(id, 'paused');
  }

  #freeze(id: string, from: 'running' | 'paused'): void {
    const record = this.#dirs.read(id);
    const { status } = this.#state(record);
    if (status !== from) throw new RuntimeError('conflict', `container ${id} is not ${from}`);
    this.#machine.cgroups.freeze(record.cgroup, from === 'running');
  }

  async update(id: string, resources: Resources): Promise<void> {
    const record = this.#dirs.read(id);
    checkResources(resources);
    this.#machine.cgroups.update(record.cgroup, resources);
  }

  async stats(id: string): Promise<ContainerStats> {
    const record = this.#dirs.read(id);
    const readAtNs = BigInt(this.#clock.now()) * 1_000_000n;
    return { readAtNs, ...this.#machine.cgroups.stats(record.cgroup) };
  }

  async top(id: string): Promise<readonly ContainerProcess[]> {
    const record = this.#dirs.read(id);
    this.#running(record);
    const pids = [...this.#machine.cgroups.pids(record.cgroup)].sort((a, b) => a - b);
    return pids.map(describeProcess).filter((row) => row !== undefined);
  }

  #running(record: ContainerRecord): ContainerState {
    const state = this.#state(record);
    if (state.status === 'running') return state;
    throw new RuntimeError(
      'conflict',
      `container ${record.spec.id} is ${state.status}, not running`,
    );
  }

  async delete(id: string, options: { readonly force?: boolean | undefined } = {}): Promise<void> {
    const record = this.#dirs.read(id);
    const { exit } = this.#state(record);
    if (!exit && !options.force) {
      throw new RuntimeError('conflict', `container ${id} is running: stop it or use force`);
    }
    await this.#removeCgroup(record);
    await Promise.all(this.#dirs.shims(id).map(shimEnded));
    await this.#waits.get(id)?.catch(() => undefined);
    this.#dirs.remove(this.#dirs.path(id));
  }

  /** Kills whatever is left in the cgroup and removes it as soon as the kernel lets go. */
  async #removeCgroup({ cgroup }: ContainerRecord): Promise<void> {
    const { cgroups } = this.#machine;
    const giveUp = this.#clock.monotonicMs() + REMOVE_GIVE_UP_MS;
    while (!cgroups.remove(cgroup)) {
      cgroups.killAll(cgroup);
      if (this.#clock.monotonicMs() > giveUp) {
        this.#logger.error('cgroup cannot be removed', { cgroup });
        throw new RuntimeError('failed', `cgroup ${cgroup} stays busy`);
      }
      await sleep(this.#clock, REMOVE_RETRY_MS);
    }
  }

  async logPath(id: string): Promise<string> {
    return this.#dirs.read(id).logPath;
  }

  readLog(id: string, options: LogOptions = {}): AsyncIterable<LogRecord> {
    const { logPath } = this.#dirs.read(id);
    return readLogFile(logPath, options, async () => {
      await this.wait(id);
    });
  }
}

/** Turns "no shim there" into the answer for a container that has ended. */
function notRunning(id: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof RuntimeError && error.code === 'lost') {
      throw caused(error, 'conflict', `container ${id} is not running`);
    }
    throw error;
  };
}
