/**
 * Reads files of an image without mounting it: layers are searched from the top, whiteouts and opaque directories
 * hide what is below, symbolic links are followed inside the image only.
 */
import type { Dirent, Stats } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { step } from './walk.ts';

const LINKS_MAX = 40;

/** One directory of the stack, and its directories that hide everything below. */
export interface ViewLayer {
  readonly directory: string;
  readonly opaque: ReadonlySet<string>;
}

export interface ViewEntry {
  /** On the host. Its directories are real ones. */
  readonly path: string;
  readonly stats: Stats;
}

const isWhiteout = (stats: Stats): boolean => stats.isCharacterDevice() && stats.rdev === 0;

export class LayeredView {
  /** Top-most first. */
  readonly #layers: readonly ViewLayer[];

  constructor(layers: readonly ViewLayer[]) {
    this.#layers = layers;
  }

  /** The file that `path` means, links followed; undefined when there is none. */
  async find(path: string): Promise<ViewEntry | undefined> {
    const found = await this.resolve(path);
    return found === undefined ? undefined : this.#lookup(found);
  }

  /** The path without symbolic links, relative to the root; undefined when it leads nowhere. */
  async resolve(path: string): Promise<string | undefined> {
    const todo = path.split('/');
    let at = '';
    let links = 0;
    for (let part = todo.shift(); part !== undefined; part = todo.shift()) {
      const next = step(at, part);
      const entry = await this.#lookup(next);
      if (!entry) return undefined;
      if (!entry.stats.isSymbolicLink()) {
        at = next;
        continue;
      }
      links += 1;
      if (links > LINKS_MAX) return undefined;
      const target = await readlink(entry.path);
      if (target.startsWith('/')) at = '';
      todo.unshift(...target.split('/'));
    }
    return at;
  }

  /** Names in a directory given without symbolic links, as a mount would show them. */
  async list(directory: string): Promise<readonly string[]> {
    const seen = new Map<string, boolean>();
    for (const layer of this.#layers) {
      const entries = await readdir(join(layer.directory, directory), {
        withFileTypes: true,
      }).catch((): Dirent[] => []);
      for (const entry of entries) {
        if (seen.has(entry.name)) continue;
        const hidden =
          entry.isCharacterDevice() &&
          isWhiteout(await lstat(join(layer.directory, directory, entry.name)));
        seen.set(entry.name, !hidden);
      }
      if (hides(layer, directory)) break;
    }
    return [...seen].flatMap(([name, visible]) => (visible ? [name] : []));
  }

  /** `path` has no symbolic links in its directories. */
  async #lookup(path: string): Promise<ViewEntry | undefined> {
    for (const layer of this.#layers) {
      const found = await lookIn(layer, path);
      if (found === 'hidden') return undefined;
      if (found) return found;
    }
    return undefined;
  }
}

/** What one layer says: the entry, that everything below is hidden, or nothing. */
async function lookIn(layer: ViewLayer, path: string): Promise<ViewEntry | 'hidden' | undefined> {
  const parts = path === '' ? [] : path.split('/');
  let at = layer.directory;
  let hidden = hides(layer, '');
  for (const [index, part] of parts.entries()) {
    at = join(at, part);
    const stats = await lstat(at).catch(() => undefined);
    if (!stats) return hidden ? 'hidden' : undefined;
    if (isWhiteout(stats)) return 'hidden';
    if (index === parts.length - 1) return { path: at, stats };
    if (!stats.isDirectory()) return 'hidden';
    hidden ||= hides(layer, parts.slice(0, index + 1).join('/'));
  }
  return { path: at, stats: await lstat(at) };
}

function hides(layer: ViewLayer, directory: string): boolean {
  return layer.opaque.has(directory);
}
