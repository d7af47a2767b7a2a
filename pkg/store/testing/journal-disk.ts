import { dirname } from 'node:path';
import type { Disk, DiskFile, OpenMode } from '../../io/index.ts';

/** Everything that was asked of the disk and changes it, in order. Files are known by number: names move. */
export type DiskOperation =
  | { readonly kind: 'create'; readonly path: string; readonly file: number }
  | {
      readonly kind: 'write';
      readonly file: number;
      readonly offset: number;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: 'size'; readonly file: number; readonly size: number }
  | { readonly kind: 'sync'; readonly file: number }
  /** It failed, and the kernel forgot what was to be written: a program still reads it, the disk never gets it. */
  | { readonly kind: 'failed sync'; readonly file: number }
  | { readonly kind: 'rename'; readonly path: string; readonly to: string }
  | { readonly kind: 'unlink'; readonly path: string }
  | { readonly kind: 'sync folder'; readonly path: string };

/** What is on a disk: content by path. */
export type DiskImage = ReadonlyMap<string, Uint8Array>;

/** What a power failure leaves of what was not synced. */
export interface Survival {
  /** How many of these changes of names, which a journal keeps in order. */
  readonly names: (count: number) => number;
  readonly sector: () => boolean;
}

const SECTOR_BYTES = 512;

/** A disk in memory that remembers how it came to be what it is, and fails when told to. */
export class JournalDisk implements Disk {
  readonly journal: DiskOperation[] = [];
  /** Asked before each operation takes effect; what it returns is thrown, after half of a write. */
  fail: (operation: DiskOperation) => Error | undefined = () => undefined;
  readonly #names = new Map<string, number>();
  readonly #contents: Uint8Array[] = [];

  constructor(image: DiskImage = new Map()) {
    for (const [path, content] of image) {
      this.#names.set(path, this.#contents.push(content.slice()) - 1);
    }
  }

  get image(): DiskImage {
    return new Map([...this.#names].map(([path, file]) => [path, this.content(file)]));
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const known = this.#names.get(path);
    if (mode === 'create') {
      if (known !== undefined) throw coded('EEXIST', path);
      const file = this.#contents.length;
      this.#perform({ kind: 'create', path, file });
      return this.#handle(file);
    }
    if (known === undefined) throw coded('ENOENT', path);
    return this.#handle(known);
  }

  async readdir(folder: string): Promise<readonly string[]> {
    const paths = [...this.#names.keys()].filter((path) => dirname(path) === folder);
    return paths.map((path) => path.slice(folder.length + 1)).sort();
  }

  async mkdir(): Promise<void> {
    // Folders are there when something is in them.
  }

  async rename(path: string, to: string): Promise<void> {
    if (!this.#names.has(path)) throw coded('ENOENT', path);
    this.#perform({ kind: 'rename', path, to });
  }

  async unlink(path: string): Promise<void> {
    if (!this.#names.has(path)) throw coded('ENOENT', path);
    this.#perform({ kind: 'unlink', path });
  }

  async fsyncDir(path: string): Promise<void> {
    this.#perform({ kind: 'sync folder', path });
  }

  content(file: number): Uint8Array {
    return this.#contents[file] ?? new Uint8Array(0);
  }

  #perform(operation: DiskOperation): void {
    const error = this.fail(operation);
    if (error) {
      if (operation.kind === 'write') this.#note(half(operation));
      if (operation.kind === 'sync') this.#note({ ...operation, kind: 'failed sync' });
      throw error;
    }
    this.#note(operation);
  }

  #note(operation: DiskOperation): void {
    this.journal.push(operation);
    replay(operation, this.#names, this.#contents);
  }

  #handle(file: number): DiskFile {
    const perform = async (operation: DiskOperation): Promise<void> => this.#perform(operation);
    return {
      pread: async (offset, length): Promise<Uint8Array> =>
        this.content(file).slice(offset, offset + length),
      pwrite: (offset, bytes): Promise<void> =>
        perform({ kind: 'write', file, offset, bytes: bytes.slice() }),
      fdatasync: (): Promise<void> => perform({ kind: 'sync', file }),
      truncate: (size): Promise<void> => perform({ kind: 'size', file, size }),
      allocate: async (size): Promise<void> => {
        if (size > this.content(file).length) await perform({ kind: 'size', file, size });
      },
      size: async (): Promise<number> => this.content(file).length,
      close: async (): Promise<void> => undefined,
    };
  }
}

/** What is on the disk when power fails after the first `count` operations. */
export function powerFailures(
  journal: readonly DiskOperation[],
): (count: number, survival: Survival) => DiskImage {
  const syncedAt = journal.map((operation, at) =>
    journal.findIndex((later, when) => when >= at && syncs(later, operation)),
  );
  return (count, survival) => {
    const names = new Map<string, number>();
    const contents: Uint8Array[] = [];
    const pending: DiskOperation[] = [];
    journal.slice(0, count).forEach((operation, at) => {
      const when = syncedAt[at] ?? -1;
      if (when < 0 || when >= count) pending.push(operation);
      else if (journal[when]?.kind !== 'failed sync') replay(operation, names, contents);
    });
    survive(pending, survival, names, contents);
    return new Map([...names].map(([path, file]) => [path, contents[file] ?? new Uint8Array(0)]));
  };
}

function survive(
  pending: readonly DiskOperation[],
  survival: Survival,
  names: Map<string, number>,
  contents: Uint8Array[],
): void {
  const moves = pending.filter((operation) => 'path' in operation);
  for (const move of moves.slice(0, survival.names(moves.length))) replay(move, names, contents);
  for (const operation of pending) {
    if (operation.kind === 'size' && survival.sector()) replay(operation, names, contents);
    if (operation.kind !== 'write') continue;
    for (const part of sectors(operation)) if (survival.sector()) replay(part, names, contents);
  }
}

function syncs(later: DiskOperation, operation: DiskOperation): boolean {
  if (later === operation) return true;
  if ('path' in operation) {
    return later.kind === 'sync folder' && later.path === dirname(operation.path);
  }
  const ends = later.kind === 'sync' || later.kind === 'failed sync';
  return ends && 'file' in operation && later.file === operation.file;
}

function replay(
  operation: DiskOperation,
  names: Map<string, number>,
  contents: Uint8Array[],
): void {
  switch (operation.kind) {
    case 'create':
      names.set(operation.path, operation.file);
      break;
    case 'rename': {
      const file = names.get(operation.path);
      if (file === undefined) return;
      names.delete(operation.path);
      names.set(operation.to, file);
      break;
    }
    case 'unlink':
      names.delete(operation.path);
      break;
    case 'size': {
      const next = new Uint8Array(operation.size);
      next.set((contents[operation.file] ?? next).subarray(0, operation.size));
      contents[operation.file] = next;
      break;
    }
    case 'write': {
      const { file, offset, bytes } = operation;
      const end = offset + bytes.length;
      const old = contents[file] ?? new Uint8Array(0);
      if (end > old.length) replay({ kind: 'size', file, size: end }, names, contents);
      contents[file]?.set(bytes, offset);
      break;
    }
    case 'sync':
    case 'failed sync':
    case 'sync folder':
      // Says only when what was before is durable.
      break;
  }
}

type Write = DiskOperation & { readonly kind: 'write' };

function half(write: Write): Write {
  return { ...write, bytes: write.bytes.subarray(0, write.bytes.length >> 1) };
}

function* sectors({ file, offset, bytes }: Write): Iterable<Write> {
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + SECTOR_BYTES - ((offset + at) % SECTOR_BYTES));
    yield { kind: 'write', file, offset: offset + at, bytes: bytes.subarray(at, end) };
    at = end;
  }
}

function coded(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
