import { closeSync } from 'node:fs';
import { type BpfShape, bpf } from './libc.ts';
import { SyscallError } from './syscall-error.ts';

/*
 * bpf(2) as far as programs need it that the kernel runs for the sockets of a cgroup (kernel: Documentation/bpf). Maps and
 * programs live as long as a descriptor or an attachment refers to them.
 */
const COMMAND = {
  createMap: 0,
  lookUp: 1,
  update: 2,
  delete: 3,
  loadProgram: 5,
  attach: 8,
  detach: 9,
  openProgram: 13,
  information: 15,
  query: 16,
  lookUpBatch: 24,
} as const;
const MAP_TYPE = { hash: 1, array: 2 } as const;
/** Members are allocated one by one, and freed when nobody can be looking at them any more. */
const NO_PREALLOC = 1;
const CGROUP_SOCK_ADDR = 18;
/** Other programs may be attached beside ours. */
const ALLOW_MULTI = 2;
/** `enum bpf_attach_type` */
const ATTACH_TYPE = {
  connect4: 10,
  connect6: 11,
  getpeername4: 29,
  getpeername6: 30,
} as const;
const ENOENT = 2;
const BATCH = 4_096;
const PROGRAMS_MAX = 64;
/** `struct bpf_prog_info`, of which the name is behind the maps. */
const INFORMATION_BYTES = 80;
const NAME_OFFSET = 64;
const NAME_BYTES = 16;
const LOG_BYTES = 65_536;
const LOG_SHOWN = 1_500;

/** What of a socket a program is asked about. */
export type SocketHook = keyof typeof ATTACH_TYPE;

export interface BpfMapOptions {
  readonly kind: keyof typeof MAP_TYPE;
  /** At most 15 characters. */
  readonly name: string;
  readonly keyBytes: number;
  readonly valueBytes: number;
  /** Members at most; of an array, all that there are. */
  readonly capacity: number;
}

/** A map that programs of the kernel and this process share. */
export class BpfMap implements Disposable {
  readonly fd: number;
  readonly #options: BpfMapOptions;

  /** @throws SyscallError EPERM, EINVAL or ENOSYS where the kernel gives us none */
  constructor(options: BpfMapOptions) {
    const { kind, keyBytes, valueBytes, capacity, name } = options;
    const flags = kind === 'hash' ? NO_PREALLOC : 0;
    const type = MAP_TYPE[kind];
    this.#options = options;
    this.fd = call('createMap', 'createMap', {
      ...{ type, keyBytes, valueBytes, capacity, flags, name },
      ...{ innerMap: 0, numaNode: 0 },
    });
  }

  /**
   * Adds or replaces, as one step to whoever looks it up.
   * @throws SyscallError E2BIG when it is full
   */
  put(key: Buffer, value: Buffer): void {
    call('update', 'element', { map: this.fd, key, value, flags: 0 });
  }

  /** False when it was not there. */
  delete(key: Buffer): boolean {
    const result = bpf(COMMAND.delete, 'element', { map: this.fd, key, value: null, flags: 0 });
    if (result < 0 && result !== -ENOENT) throw new SyscallError('bpf', -result);
    return result >= 0;
  }

  /** All members of a hash map, as pairs of key and value; some that come or go meanwhile may be missing. */
  entries(): readonly (readonly [Buffer, Buffer])[] {
    const { keyBytes, valueBytes } = this.#options;
    const found: (readonly [Buffer, Buffer])[] = [];
    let before: Buffer | null = null;
    for (;;) {
      const after = Buffer.alloc(Math.max(keyBytes, 4));
      const keys = Buffer.alloc(BATCH * keyBytes);
      const values = Buffer.alloc(BATCH * valueBytes);
      const batch = { before, after, keys, values, count: BATCH, map: this.fd };
      const attributes = { ...batch, elementFlags: 0, flags: 0 };
      const result = bpf(COMMAND.lookUpBatch, 'batch', attributes);
      if (result < 0 && result !== -ENOENT) throw new SyscallError('bpf', -result);
      for (let at = 0; at < attributes.count; at++) {
        const key = keys.subarray(at * keyBytes, (at + 1) * keyBytes);
        found.push([key, values.subarray(at * valueBytes, (at + 1) * valueBytes)]);
      }
      if (result < 0) return found;
      before = after;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/** A program that the kernel has found harmless. */
export class BpfProgram implements Disposable {
  readonly hook: SocketHook;
  readonly #fd: number;

  /**
   * @param instructions of 8 bytes each (RFC 9669)
   * @throws SyscallError EACCES or EINVAL with the end of what the kernel says about it
   */
  constructor(hook: SocketHook, name: string, instructions: Buffer) {
    const log = Buffer.alloc(LOG_BYTES);
    const result = bpf(COMMAND.loadProgram, 'loadProgram', {
      ...{ type: CGROUP_SOCK_ADDR, count: instructions.length / 8, instructions, name },
      ...{ license: 'Apache-2.0', logLevel: 1, logBytes: log.length, log },
      ...{ kernelVersion: 0, flags: 0, link: 0, attachType: ATTACH_TYPE[hook] },
    });
    const said = log.subarray(0, log.indexOf(0)).toString().slice(-LOG_SHOWN);
    if (result < 0) throw new SyscallError('bpf', -result, said);
    this.hook = hook;
    this.#fd = result;
  }

  /** Asked for every socket that was made within the cgroup or one below it. */
  attach(cgroup: number): void {
    const { hook } = this;
    call('attach', 'attach', { ...attachment(cgroup, this.#fd, hook), flags: ALLOW_MULTI });
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

export interface AttachedProgram {
  readonly id: number;
  readonly name: string;
}

/** Programs that are attached to the cgroup itself. */
export function attachedPrograms(cgroup: number, hook: SocketHook): readonly AttachedProgram[] {
  const ids = Buffer.alloc(PROGRAMS_MAX * 4);
  const attachType = ATTACH_TYPE[hook];
  const attributes = { target: cgroup, attachType, flags: 0, attachFlags: 0, ids };
  const asked = { ...attributes, count: PROGRAMS_MAX };
  call('query', 'query', asked);
  return Array.from({ length: asked.count }, (_, at) => ids.readUInt32LE(at * 4)).flatMap(
    (id) => withProgram(id, (fd) => ({ id, name: nameOf(fd) })) ?? [],
  );
}

/** False when it was not attached there. */
export function detachProgram(cgroup: number, hook: SocketHook, id: number): boolean {
  const detached = withProgram(id, (fd) => {
    const result = bpf(COMMAND.detach, 'attach', attachment(cgroup, fd, hook));
    if (result < 0 && result !== -ENOENT) throw new SyscallError('bpf', -result);
    return result >= 0;
  });
  return detached ?? false;
}

function attachment(
  target: number,
  program: number,
  hook: SocketHook,
): { readonly target: number; readonly program: number; attachType: number; flags: number } {
  return { target, program, attachType: ATTACH_TYPE[hook], flags: 0 };
}

function withProgram<T>(id: number, work: (fd: number) => T): T | undefined {
  const fd = bpf(COMMAND.openProgram, 'open', { id, next: 0, flags: 0 });
  if (fd === -ENOENT) return undefined;
  if (fd < 0) throw new SyscallError('bpf', -fd);
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}

function nameOf(fd: number): string {
  const information = Buffer.alloc(INFORMATION_BYTES);
  call('information', 'information', { fd, bytes: information.length, information });
  const name = information.subarray(NAME_OFFSET, NAME_OFFSET + NAME_BYTES);
  return name.subarray(0, name.indexOf(0)).toString();
}

function call(command: keyof typeof COMMAND, shape: BpfShape, attributes: object): number {
  const result = bpf(COMMAND[command], shape, attributes);
  if (result < 0) throw new SyscallError('bpf', -result);
  return result;
}
