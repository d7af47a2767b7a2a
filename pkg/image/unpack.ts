/**
 * One layer archive → one directory in overlayfs form (image-spec layer.md; kernel overlayfs.rst): `.wh.x` becomes a
 * 0/0 character device `x`, `.wh..wh..opq` the attribute `trusted.overlay.opaque`. Nothing is ever made outside the
 * directory: paths are walked component by component and symbolic links are followed inside the root only.
 */
import type { Stats } from 'node:fs';
import {
  chmod,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  readlink,
  rm,
  symlink,
  utimes,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ClusterError } from '../model/index.ts';
import { type SpecialFile, writeSpecialFiles } from './special-files.ts';
import { readTar, type TarEntry } from './tar.ts';
import { step } from './walk.ts';

export interface Unpacked {
  /** Of regular files. */
  readonly bytes: number;
  /** Directories that hide what lower layers have in them, relative to the root. */
  readonly opaque: readonly string[];
}

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
const LINKS_MAX = 40;

/**
 * Unpacks a plain (not compressed) archive into the existing empty directory `root`.
 */
export async function unpackLayer(
  archive: AsyncIterable<Uint8Array>,
  root: string,
): Promise<Unpacked> {
  const layer = new LayerWriter(root, { whiteouts: true });
  for await (const entry of readTar(archive)) await layer.add(entry);
  return layer.finish();
}

/** Unpacks an archive over what is in `directory` of `root`, whiteouts meaning nothing special (`docker cp`). */
export async function unpackArchive(
  archive: AsyncIterable<Uint8Array>,
  root: string,
  directory: string,
): Promise<Unpacked> {
  const layer = new LayerWriter(root, { whiteouts: false, directory });
  for await (const entry of readTar(archive)) await layer.add(entry);
  return layer.finish();
}

class LayerWriter {
  readonly #root: string;
  readonly #whiteouts: boolean;
  /** What names in the archive are relative to. */
  readonly #base: string;
  /** Directories seen to be real, by path below the root. */
  readonly #directories = new Set<string>(['']);
  readonly #directoryTimes = new Map<string, number>();
  readonly #special = new Map<string, SpecialFile>();
  readonly #attributes = new Map<string, Map<string, Buffer>>();
  readonly #hardlinks = new Map<string, string>();
  readonly #opaque = new Set<string>();
  #bytes = 0;

  constructor(
    root: string,
    options: { readonly whiteouts: boolean; readonly directory?: string | undefined },
  ) {
    this.#root = root;
    this.#whiteouts = options.whiteouts;
    this.#base = options.directory ?? '';
  }

  async add(entry: TarEntry): Promise<void> {
    const path = await this.#locate(entry.path);
    const name = basename(path);
    if (this.#whiteouts && name === OPAQUE) {
      this.#opaque.add(dirname(path) === '.' ? '' : dirname(path));
      this.#attribute(dirname(path), 'trusted.overlay.opaque', Buffer.from('y'));
      return;
    }
    if (this.#whiteouts && name.startsWith(WHITEOUT)) {
      await this.#whiteout(join(dirname(path), name.slice(WHITEOUT.length)));
      return;
    }
    if (!this.#whiteouts && path === this.#base) return; // the place it is unpacked to stays as it is
    await this.#make(path, entry);
    for (const [key, value] of entry.xattrs) {
      // Ours to set, not the archive's.
      if (!key.startsWith('trusted.overlay.')) this.#attribute(path, key, value);
    }
  }

  /** Device nodes, attributes, and the times of directories, which everything else disturbs. */
  async finish(): Promise<Unpacked> {
    const members = [...this.#special.values()];
    for (const [path, xattrs] of this.#attributes) {
      const member = await this.#described(path, xattrs);
      if (member) members.push(member);
    }
    await writeSpecialFiles(this.#root, members);
    for (const [path, target] of this.#hardlinks) {
      // tar replaced the file to which it adds attributes.
      if (this.#attributes.has(target)) await this.#link(target, path);
    }
    for (const [path, mtime] of [...this.#directoryTimes].reverse()) {
      const found = await lstat(join(this.#root, path)).catch(() => undefined);
      if (found?.isDirectory()) await utimes(join(this.#root, path), mtime, mtime);
    }
    return { bytes: this.#bytes, opaque: [...this.#opaque] };
  }

  /** The path below the root that `text` means, its directories made. */
  async #locate(text: string): Promise<string> {
    if (text.includes('\0'))
      throw new ClusterError('invalid', 'invalid tar archive: NUL in a name');
    const parts = text.split('/').filter((part) => part !== '' && part !== '.');
    if (parts.includes('..')) {
      throw new ClusterError('invalid', `invalid tar archive: ${text} leaves its directory`);
    }
    parts.unshift(...this.#base.split('/').filter(Boolean));
    const name = parts.pop();
    if (name === undefined) return '';
    return join(await this.#directory(parts), name);
  }

  async #directory(wanted: readonly string[]): Promise<string> {
    const todo = [...wanted];
    let at = '';
    let links = 0;
    for (let part = todo.shift(); part !== undefined; part = todo.shift()) {
      const next = step(at, part);
      const target = this.#directories.has(next) ? undefined : await this.#enter(next);
      if (target === undefined) {
        at = next;
        continue;
      }
      links += 1;
      if (links > LINKS_MAX) throw new ClusterError('invalid', `${next}: too many symbolic links`);
      if (target.startsWith('/')) at = '';
      todo.unshift(...target.split('/'));
    }
    return at;
  }

  /** Makes or enters a directory; the target when it is a symbolic link instead. */
  async #enter(path: string): Promise<string | undefined> {
    const absolute = join(this.#root, path);
    const found = await this.#existing(path);
    if (found?.isSymbolicLink()) return readlink(absolute);
    if (!found?.isDirectory()) {
      if (found) await this.#remove(path);
      this.#special.delete(path);
      await mkdir(absolute, { mode: 0o755 });
    }
    this.#directories.add(path);
    return undefined;
  }

  #existing(path: string): Promise<Stats | undefined> {
    return lstat(join(this.#root, path)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
  }

  async #remove(path: string): Promise<void> {
    await rm(join(this.#root, path), { recursive: true, force: true });
    const maps = [this.#directoryTimes, this.#special, this.#attributes, this.#hardlinks];
    for (const known of [this.#directories, ...maps]) {
      for (const key of [...known.keys()]) {
        if (key === path || key.startsWith(`${path}/`)) known.delete(key);
      }
    }
  }

  async #whiteout(path: string): Promise<void> {
    if (await this.#existing(path)) return; // the layer itself provides it
    this.#special.set(path, { path, type: 'character', mode: 0, major: 0, minor: 0 });
  }

  async #make(path: string, entry: TarEntry): Promise<void> {
    const absolute = join(this.#root, path);
    const found = path === '' ? undefined : await this.#existing(path);
    const keep = path === '' || (entry.type === 'directory' && found?.isDirectory() === true);
    if (found && !keep) await this.#remove(path);
    this.#special.delete(path);
    switch (entry.type) {
      case 'directory':
        if (!keep) await mkdir(absolute);
        this.#directories.add(path);
        this.#directoryTimes.set(path, entry.mtime);
        await lchown(absolute, entry.uid, entry.gid);
        await chmod(absolute, entry.mode);
        return;
      case 'file':
        await this.#file(absolute, entry);
        return;
      case 'symlink':
        await symlink(entry.linkPath, absolute);
        await lchown(absolute, entry.uid, entry.gid);
        await lutimes(absolute, entry.mtime, entry.mtime);
        return;
      case 'hardlink':
        await this.#hardlink(path, entry);
        return;
      case 'character':
      case 'block':
      case 'fifo': {
        const { type, mode, uid, gid, mtime, major, minor } = entry;
        this.#special.set(path, { path, type, mode, uid, gid, mtime, major, minor });
        return;
      }
      case 'other':
        return;
    }
  }

  async #file(absolute: string, entry: TarEntry): Promise<void> {
    const file = await open(absolute, 'wx', 0o600);
    try {
      for await (const chunk of entry.body()) await file.writeFile(chunk);
      await file.chown(entry.uid, entry.gid);
      await file.chmod(entry.mode);
      await file.utimes(entry.mtime, entry.mtime);
    } finally {
      await file.close();
    }
    this.#bytes += entry.size;
  }

  async #hardlink(path: string, entry: TarEntry): Promise<void> {
    const target = await this.#locate(entry.linkPath);
    const special = this.#special.get(target);
    if (special) {
      this.#special.set(path, { path, type: 'hardlink', linkPath: target });
      return;
    }
    await this.#link(target, path);
    this.#hardlinks.set(path, target);
  }

  async #link(target: string, path: string): Promise<void> {
    await rm(join(this.#root, path), { force: true });
    await link(join(this.#root, target), join(this.#root, path));
  }

  #attribute(path: string, key: string, value: Buffer): void {
    const at = path === '.' ? '' : path;
    const known = this.#attributes.get(at) ?? new Map<string, Buffer>();
    this.#attributes.set(at, known.set(key, value));
  }

  /** What is on disk as a tar member with `xattrs`; links and devices carry none. */
  async #described(
    path: string,
    xattrs: ReadonlyMap<string, Buffer>,
  ): Promise<SpecialFile | undefined> {
    const found = await this.#existing(path);
    const type = found?.isDirectory() ? 'directory' : found?.isFile() ? 'file' : undefined;
    if (!found || !type) return undefined;
    return {
      path: path === '' ? '.' : path,
      type,
      mode: found.mode & 0o7777,
      uid: found.uid,
      gid: found.gid,
      mtime: found.mtimeMs / 1000,
      size: type === 'file' ? found.size : 0,
      xattrs,
    };
  }
}
