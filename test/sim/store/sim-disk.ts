import { dirname } from 'node:path';
import type { Disk, DiskFile, OpenMode } from '../../../pkg/io/index.ts';
import type { World } from './world.ts';

type Write =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'size'; readonly size: number };

/** What a folder held before a change; one change may touch two names, as a rename does, and is whole or not there. */
type Change = readonly { readonly path: string; readonly before: SimFile | undefined }[];

/** How one disk behaves; drawn per seed. */
export interface DiskManners {
  /** Milliseconds of an fdatasync: usually up to … */
  readonly syncMs: number;
  /** … and now and then, with this chance, up to … */
  readonly slowChance: number;
  readonly slowMs: number;
  /** What a crash leaves of what was not synced: all lost, a prefix, or any sectors. */
  readonly survives: 'nothing' | 'prefix' | 'sectors';
}

const SECTOR_BYTES = 512;

/** The platter: it outlives the programs that use it. */
export class SimDisk {
  readonly #world: World;
  readonly manners: DiskManners;
  readonly #entries = new Map<string, SimFile>();
  /** In order, as a journal keeps them. */
  readonly #unsynced: Change[] = [];
  /** Of a program that is gone: its calls never return. */
  #holder = 0;
  /** The next calls of this kind fail. */
  fault: 'none' | 'no space' | 'sync' = 'none';

  constructor(world: World, manners: DiskManners) {
    this.#world = world;
    this.manners = manners;
  }

  /** For one program; the one before it gets no answers any more. */
  mount(): Disk {
    const holder = ++this.#holder;
    const living = async (): Promise<void> => {
      if (holder !== this.#holder) await new Promise<never>(() => undefined);
    };
    return {
      open: async (path, mode): Promise<DiskFile> => {
        await living();
        return this.#open(path, mode).handle(living);
      },
      readdir: async (folder): Promise<readonly string[]> => {
        await living();
        const paths = [...this.#entries.keys()].filter((path) => dirname(path) === folder);
        return paths.map((path) => path.slice(folder.length + 1)).sort();
      },
      mkdir: living,
      rename: async (from, to): Promise<void> => {
        await living();
        const file = this.#file(from);
        this.#change([from, undefined], [to, file]);
      },
      unlink: async (path): Promise<void> => {
        await living();
        this.#file(path);
        this.#change([path, undefined]);
      },
      fsyncDir: async (): Promise<void> => {
        await living();
        const count = this.#unsynced.length;
        await this.syncTime();
        await living();
        this.#unsynced.splice(0, count);
      },
    };
  }

  /** Power is lost: what was not synced is lost, or a part of it. */
  crash(): void {
    this.#holder++;
    this.fault = 'none';
    const lost = this.#unsynced.splice(this.survivors(this.#unsynced.length));
    for (const change of lost.reverse()) {
      for (const { path, before } of change) this.#put(path, before);
    }
    this.#unsynced.length = 0;
    for (const file of new Set(this.#entries.values())) file.crash();
  }

  async syncTime(): Promise<void> {
    const { random } = this.#world;
    const { syncMs, slowChance, slowMs } = this.manners;
    await this.#world.pause(random.between(0.1, random.chance(slowChance) ? slowMs : syncMs));
  }

  failIf(fault: 'no space' | 'sync'): void {
    if (this.fault !== fault) return;
    const code = fault === 'sync' ? 'EIO' : 'ENOSPC';
    throw Object.assign(new Error(`${code}: simulated`), { code });
  }

  /** How much of `count` things survives a crash. */
  survivors(count: number): number {
    return this.manners.survives === 'nothing' ? 0 : this.#world.random.below(count + 1);
  }

  sectorSurvives(): boolean {
    return this.manners.survives === 'sectors' && this.#world.random.chance(0.5);
  }

  #open(path: string, mode: OpenMode): SimFile {
    if (mode !== 'create') return this.#file(path);
    if (this.#entries.has(path)) throw Object.assign(new Error('EEXIST'), { code: 'EEXIST' });
    this.failIf('no space');
    const file = new SimFile(this);
    this.#change([path, file]);
    return file;
  }

  #file(path: string): SimFile {
    const file = this.#entries.get(path);
    if (file) return file;
    throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' });
  }

  #change(...pairs: readonly (readonly [string, SimFile | undefined])[]): void {
    this.#unsynced.push(pairs.map(([path]) => ({ path, before: this.#entries.get(path) })));
    for (const [path, file] of pairs) this.#put(path, file);
  }

  #put(path: string, file: SimFile | undefined): void {
    if (file) this.#entries.set(path, file);
    else this.#entries.delete(path);
  }
}

class SimFile {
  readonly #disk: SimDisk;
  #content = new Uint8Array(0);
  #durable = new Uint8Array(0);
  #unsynced: Write[] = [];

  constructor(disk: SimDisk) {
    this.#disk = disk;
  }

  handle(living: () => Promise<void>): DiskFile {
    const resize = async (size: number): Promise<void> => {
      await living();
      if (size > this.#content.length) this.#disk.failIf('no space');
      this.#apply({ kind: 'size', size });
    };
    return {
      pread: async (offset, length): Promise<Uint8Array> => {
        await living();
        return this.#content.slice(offset, offset + length);
      },
      pwrite: async (offset, bytes): Promise<void> => {
        await living();
        if (offset + bytes.length > this.#content.length) this.#disk.failIf('no space');
        this.#apply({ kind: 'write', offset, bytes: bytes.slice() });
      },
      fdatasync: async (): Promise<void> => {
        await living();
        const writes = [...this.#unsynced];
        await this.#disk.syncTime();
        await living();
        this.#disk.failIf('sync');
        this.#durable = writes.reduce(applied, this.#durable);
        this.#unsynced = this.#unsynced.filter((write) => !writes.includes(write));
      },
      truncate: resize,
      allocate: async (size): Promise<void> => {
        await living();
        if (size > this.#content.length) await resize(size);
      },
      size: async (): Promise<number> => {
        await living();
        return this.#content.length;
      },
      close: living,
    };
  }

  crash(): void {
    const whole = this.#disk.survivors(this.#unsynced.length);
    this.#unsynced.forEach((write, at) => {
      if (at < whole) this.#durable = applied(this.#durable, write);
      else if (write.kind === 'write') this.#tear(write);
    });
    this.#unsynced = [];
    this.#content = this.#durable.slice();
  }

  /** Some of its sectors made it. */
  #tear(write: Write & { readonly kind: 'write' }): void {
    const end = Math.min(write.offset + write.bytes.length, this.#durable.length);
    for (let at = write.offset; at < end; ) {
      const next = Math.min(end, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES);
      if (this.#disk.sectorSurvives()) {
        this.#durable.set(write.bytes.subarray(at - write.offset, next - write.offset), at);
      }
      at = next;
    }
  }

  #apply(write: Write): void {
    this.#content = applied(this.#content, write);
    this.#unsynced.push(write);
  }
}

/** In place where the size allows it. */
function applied(content: Uint8Array<ArrayBuffer>, write: Write): Uint8Array<ArrayBuffer> {
  if (write.kind === 'size') {
    const next = new Uint8Array(write.size);
    next.set(content.subarray(0, write.size));
    return next;
  }
  const end = write.offset + write.bytes.length;
  const target = end > content.length ? applied(content, { kind: 'size', size: end }) : content;
  target.set(write.bytes, write.offset);
  return target;
}

/** Whether the error comes from a fault of a simulated disk. */
export function isInjected(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (/^(EIO|ENOSPC): simulated$/.test(at.message)) return true;
  }
  return false;
}
