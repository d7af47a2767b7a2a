import { randomInt } from 'node:crypto';
import { closeSync, mkdirSync, openSync, rmdirSync } from 'node:fs';
import {
  attachedPrograms,
  BpfMap,
  BpfProgram,
  detachProgram,
  hasCode,
  type SocketHook,
} from 'vxlan-netlink';
import { MAP_SHAPES, type MapName } from '../connect/maps.ts';
import { type MapDescriptors, programOf } from '../connect/programs.ts';

/** How programs are called in the kernel, followed by the hook. */
const PREFIX = 'muster_';
const HOOKS = {
  connect4: 'c4',
  connect6: 'c6',
  getpeername4: 'p4',
  getpeername6: 'p6',
} as const satisfies Record<SocketHook, string>;
/** More than any service has slots. */
const BEGINNINGS = 2 ** 20;
const ALL_HOOKS = Object.keys(HOOKS) as readonly SocketHook[];

/** The kernel's end of `ConnectChoice`: maps that are empty at first, and programs that look into them. */
export interface ConnectHooks extends Disposable {
  /** Adds or replaces; false when the kernel has no room for it, or no time. */
  put(map: MapName, key: Buffer, value: Buffer): boolean;
  /** Missing ones are fine. */
  delete(map: MapName, key: Buffer): void;
  /** Keys and values, in hexadecimal. */
  entries(map: MapName): ReadonlyMap<string, string>;
  /**
   * From now on the programs are asked for sockets of the cgroup, made when there is none; those that an agent before put
   * there are not any more. Repeating it puts back what is missing.
   * @returns how many were missing
   */
  attach(): number;
  /** Programs that are not asked, although they were attached. */
  missing(): number;
  /** No program of ours is asked any more; the cgroup goes when it is empty. */
  detach(): void;
}

/**
 * @param cgroup path within the v2 tree
 * @throws SyscallError and errors of files where the kernel has no such programs or gives us none
 */
export function linuxConnectHooks(cgroup: string): ConnectHooks {
  return new LinuxConnectHooks(cgroup);
}

class LinuxConnectHooks implements ConnectHooks {
  readonly #cgroup: string;
  readonly #maps: ReadonlyMap<MapName, BpfMap>;
  readonly #programs: readonly BpfProgram[];
  /** Of attached programs, by hook. */
  readonly #ids = new Map<SocketHook, number>();

  constructor(cgroup: string) {
    this.#cgroup = cgroup;
    const maps = new Map<MapName, BpfMap>();
    const programs: BpfProgram[] = [];
    try {
      for (const [name, shape] of Object.entries(MAP_SHAPES) as [MapName, BpfShape][]) {
        maps.set(name, new BpfMap({ ...shape, name: PREFIX + name }));
      }
      const descriptors = Object.fromEntries([...maps].map(([name, { fd }]) => [name, fd]));
      const beginning = randomInt(BEGINNINGS);
      for (const hook of ALL_HOOKS) {
        const instructions = programOf(hook, descriptors as MapDescriptors, beginning);
        programs.push(new BpfProgram(hook, PREFIX + HOOKS[hook], instructions));
      }
    } catch (error) {
      for (const one of [...programs, ...maps.values()]) one[Symbol.dispose]();
      throw error;
    }
    this.#maps = maps;
    this.#programs = programs;
  }

  put(map: MapName, key: Buffer, value: Buffer): boolean {
    try {
      this.#maps.get(map)?.put(key, value);
      return true;
    } catch (error) {
      if (hasCode(error, 'E2BIG', 'ENOMEM', 'EBUSY')) return false;
      throw error;
    }
  }

  delete(map: MapName, key: Buffer): void {
    this.#maps.get(map)?.delete(key);
  }

  entries(map: MapName): ReadonlyMap<string, string> {
    const entries = this.#maps.get(map)?.entries() ?? [];
    return new Map(entries.map(([key, value]) => [key.toString('hex'), value.toString('hex')]));
  }

  attach(): number {
    return this.#withCgroup((cgroup) => {
      let missing = 0;
      for (const program of this.#programs) {
        const { hook } = program;
        const before = ownPrograms(cgroup, hook);
        if (this.#isAmong(before, hook)) continue;
        missing++;
        program.attach(cgroup);
        for (const other of before) detachProgram(cgroup, hook, other);
        const [own] = ownPrograms(cgroup, hook);
        if (own !== undefined) this.#ids.set(hook, own);
      }
      return missing;
    });
  }

  missing(): number {
    return this.#withCgroup(
      (cgroup) =>
        ALL_HOOKS.filter((hook) => !this.#isAmong(ownPrograms(cgroup, hook), hook)).length,
    );
  }

  detach(): void {
    this.#withCgroup((cgroup) => {
      for (const hook of ALL_HOOKS) {
        for (const id of ownPrograms(cgroup, hook)) detachProgram(cgroup, hook, id);
      }
    });
    this.#ids.clear();
    try {
      rmdirSync(this.#cgroup);
    } catch {
      // Somebody else's, or still in use.
    }
  }

  [Symbol.dispose](): void {
    for (const one of [...this.#programs, ...this.#maps.values()]) one[Symbol.dispose]();
  }

  #isAmong(ids: readonly number[], hook: SocketHook): boolean {
    const id = this.#ids.get(hook);
    return id !== undefined && ids.includes(id);
  }

  #withCgroup<T>(work: (fd: number) => T): T {
    mkdirSync(this.#cgroup, { recursive: true });
    const fd = openSync(this.#cgroup, 'r');
    try {
      return work(fd);
    } finally {
      closeSync(fd);
    }
  }
}

type BpfShape = (typeof MAP_SHAPES)[MapName];

function ownPrograms(cgroup: number, hook: SocketHook): readonly number[] {
  return attachedPrograms(cgroup, hook)
    .filter(({ name }) => name.startsWith(PREFIX))
    .map(({ id }) => id);
}
