import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createRuntime } from './create-runtime.ts';
import type { ExitStatus, LogRecord, Runtime } from './runtime.ts';
import type { ContainerSpec, ExecSpec } from './spec.ts';
import { readOptional } from './status.ts';

export const INIT_DIR = join(import.meta.dirname, 'init');
export const INIT_PATH = join(INIT_DIR, 'build/muster-init');
const CGROUP_ROOT = '/sys/fs/cgroup';

export interface Outcome {
  readonly exit: ExitStatus;
  readonly out: string;
  readonly err: string;
}

/** A real runtime on a directory and cgroup of its own, with a busybox root file system. */
export class TestHost {
  readonly dir = mkdtempSync(join(tmpdir(), 'muster-runtime-'));
  readonly cgroupParent = `/muster-test-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  readonly runtime: Runtime;
  #count = 0;

  constructor() {
    // make compares times; a second caller finds nothing to do.
    const [make, ...args] = ['make', '-s', '-C', INIT_DIR] as const;
    execFileSync(make, args);
    makeRoot(`${this.dir}/image`);
    this.runtime = createRuntime({ initPath: INIT_PATH, stateDir: `${this.dir}/state` });
  }

  /** A spec with layers of its own, running a shell command. */
  spec(command: string, more: Partial<ContainerSpec> = {}): ContainerSpec {
    const id = more.id ?? `c${++this.#count}`;
    const rw = `${this.dir}/rw/${id}`;
    for (const part of ['upper', 'work']) mkdirSync(`${rw}/${part}`, { recursive: true });
    return {
      id,
      rootfs: { lowerDirs: [`${this.dir}/image`], upperDir: `${rw}/upper`, workDir: `${rw}/work` },
      args: ['/bin/sh', '-c', command],
      env: ['PATH=/bin:/sbin', 'HOME=/root'],
      cgroupParent: this.cgroupParent,
      ...more,
    };
  }

  /** Runs to the end and removes it. */
  async run(command: string, more: Partial<ContainerSpec> = {}): Promise<Outcome> {
    const spec = this.spec(command, more);
    await this.runtime.create(spec);
    await this.runtime.start(spec.id);
    const exit = await this.runtime.wait(spec.id);
    const records = await this.log(spec.id);
    await this.runtime.delete(spec.id);
    const stream = (name: string): string =>
      Buffer.concat(records.filter((r) => r.stream === name).map((r) => r.data)).toString();
    return { exit, out: stream('stdout'), err: stream('stderr') };
  }

  /** Starts and leaves running; resolves when the command has printed `ready`. */
  async running(command: string, more: Partial<ContainerSpec> = {}): Promise<string> {
    const spec = this.spec(command, more);
    await this.runtime.create(spec);
    await this.runtime.start(spec.id);
    await this.logged(spec.id, 'ready');
    return spec.id;
  }

  /** Resolves when a line containing the words is in the log. */
  async logged(id: string, words: string): Promise<void> {
    for await (const record of this.runtime.readLog(id, { follow: true })) {
      if (record.data.toString().includes(words)) return;
    }
    throw new Error(`${id} ended without saying ${words}`);
  }

  async log(id: string): Promise<readonly LogRecord[]> {
    const records: LogRecord[] = [];
    for await (const record of this.runtime.readLog(id)) records.push(record);
    return records;
  }

  async exec(id: string, command: string, more: Partial<ExecSpec> = {}): Promise<Outcome> {
    const spec = { execId: `e${++this.#count}`, args: ['/bin/sh', '-c', command], ...more };
    const handle = await this.runtime.exec(id, spec);
    const [out, err] = await Promise.all([text(handle.stdout), text(handle.stderr)]);
    return { exit: await handle.wait(), out, err };
  }

  /** Removes everything, then throws if the machine is not as it was before. */
  async close(): Promise<void> {
    for (const id of await this.runtime.list()) await this.runtime.delete(id, { force: true });
    const leaks = [
      ...leftCgroups(this.cgroupParent),
      ...leftMounts(this.dir),
      ...leftShims(this.dir),
    ];
    for (const root of hierarchies()) {
      if (existsSync(root + this.cgroupParent)) rmdirSync(root + this.cgroupParent);
    }
    rmSync(this.dir, { recursive: true, force: true });
    if (leaks.length > 0) throw new Error(`left behind: ${leaks.join(', ')}`);
  }
}

function makeRoot(dir: string): void {
  for (const name of ['bin', 'etc', 'root', 'tmp', 'usr/bin']) {
    mkdirSync(`${dir}/${name}`, { recursive: true });
  }
  copyFileSync(realpathSync('/bin/busybox'), `${dir}/bin/busybox`);
  const applets = execFileSync('/bin/busybox', ['--list']).toString().trim().split('\n');
  for (const name of applets) {
    if (name !== 'busybox') symlinkSync('busybox', `${dir}/bin/${name}`);
  }
  writeFileSync(`${dir}/etc/passwd`, 'root:x:0:0:root:/root:/bin/sh\n');
}

function hierarchies(): readonly string[] {
  return readdirSync(CGROUP_ROOT).map((name) => `${CGROUP_ROOT}/${name}`);
}

function leftCgroups(parent: string): readonly string[] {
  return hierarchies()
    .filter((root) => existsSync(root + parent))
    .flatMap((root) =>
      readdirSync(root + parent, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => `cgroup ${root}${parent}/${entry.name}`),
    );
}

function leftMounts(dir: string): readonly string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(dir))
    .map((line) => `mount ${line}`);
}

function leftShims(dir: string): readonly string[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => readOptional(`/proc/${pid}/cmdline`)?.includes(`muster-init\0run\0${dir}`))
    .map((pid) => `process ${pid}`);
}
