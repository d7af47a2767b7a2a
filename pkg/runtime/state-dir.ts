import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DeviceRule } from './devices.ts';
import { caused, RuntimeError } from './runtime.ts';
import type { ContainerSpec } from './spec.ts';
import { errorCode, readOptional } from './status.ts';

/** What the agent must remember of a container beyond what its shim writes. */
export interface ContainerRecord {
  readonly version: 1;
  readonly spec: ContainerSpec;
  readonly cgroup: string;
  readonly deviceRules: readonly DeviceRule[];
  readonly logPath: string;
}

const RECORD = 'container.json';
const ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/** Throws `invalid`: ids become names of directories and cgroups. */
export function checkId(id: string): void {
  if (!ID.test(id)) throw new RuntimeError('invalid', `invalid container id ${JSON.stringify(id)}`);
}

/** One directory per container: `container.json`, `plan`, `status`, `shim.sock`, `log`, `root/`, `exec/<id>/`. */
export class StateDir {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  path(id: string): string {
    return `${this.#root}/${id}`;
  }

  execPath(id: string, execId: string): string {
    return `${this.#root}/${id}/exec/${execId}`;
  }

  /** Throws `exists`. Takes over a directory whose maker died before it wrote the record: nothing runs there. */
  make(dir: string): void {
    mkdirSync(dirname(dir), { recursive: true, mode: 0o700 });
    if (existsSync(dir) && !existsSync(`${dir}/${RECORD}`) && !existsSync(`${dir}/plan`)) {
      this.remove(dir);
    }
    try {
      mkdirSync(dir, { mode: 0o700 });
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
      throw caused(error, 'exists', `${dir} is in use`);
    }
  }

  write(id: string, record: ContainerRecord): void {
    writeFileSync(`${this.path(id)}/${RECORD}`, JSON.stringify(record), { mode: 0o600 });
  }

  /** Throws `not-found`. */
  read(id: string): ContainerRecord {
    checkId(id);
    const text = readOptional(`${this.path(id)}/${RECORD}`);
    if (text === undefined) throw new RuntimeError('not-found', `no such container: ${id}`);
    return JSON.parse(text);
  }

  list(): readonly string[] {
    if (!existsSync(this.#root)) return [];
    return readdirSync(this.#root)
      .filter((id) => existsSync(`${this.path(id)}/${RECORD}`))
      .sort();
  }

  /** Directories of the container's shim and those of its execs. */
  shims(id: string): readonly string[] {
    const execs = `${this.path(id)}/exec`;
    const names = existsSync(execs) ? readdirSync(execs) : [];
    return [this.path(id), ...names.map((name) => `${execs}/${name}`)];
  }

  remove(dir: string): void {
    rmSync(dir, { recursive: true, force: true });
  }
}
