/**
 * Unpacked layers, shared by every image that has the same layers below them too (the chain id of image-spec
 * config.md), and the writable layer of each container. A layer directory is there completely or not at all.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClusterError } from '../model/index.ts';
import { type Digest, digestOf } from './content.ts';
import { decompress } from './decompress.ts';
import { LayeredView, type ViewLayer } from './layered-view.ts';
import { unpackLayer } from './unpack.ts';

/** Host paths for an overlay mount. */
export interface Snapshot {
  /** Read-only layers, top-most first. */
  readonly lowerDirs: readonly string[];
  readonly upperDir: string;
  readonly workDir: string;
}

interface LayerRecord {
  readonly diffId: Digest;
  readonly bytes: number;
  readonly opaque: readonly string[];
}

/** Chain ids of a stack of layers, lowest first. */
export function chainIds(diffIds: readonly Digest[]): readonly Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chain;
}

const hexOf = (digest: Digest): string => digest.slice(digest.indexOf(':') + 1);

export class LayerStore {
  readonly #layers: string;
  readonly #containers: string;
  readonly #temporary: string;
  readonly #busy = new Map<Digest, Promise<void>>();
  #sequence = 0;

  constructor(directory: string) {
    this.#layers = join(directory, 'layers');
    this.#containers = join(directory, 'snapshots');
    this.#temporary = join(directory, 'layers-tmp');
  }

  /** Makes the directories and drops half-made layers. */
  async open(): Promise<void> {
    await rm(this.#temporary, { recursive: true, force: true });
    for (const path of [this.#layers, this.#containers, this.#temporary]) {
      await mkdir(path, { recursive: true, mode: 0o710 });
    }
  }

  async has(chainId: Digest): Promise<boolean> {
    return (await this.#record(chainId)) !== undefined;
  }

  /** Bytes of each layer, lowest first. */
  sizes(diffIds: readonly Digest[]): Promise<readonly number[]> {
    return Promise.all(chainIds(diffIds).map((chainId) => this.bytes(chainId)));
  }

  /** Bytes of regular files; 0 when unknown. */
  async bytes(chainId: Digest): Promise<number> {
    return (await this.#record(chainId))?.bytes ?? 0;
  }

  /**
   * Unpacks a layer archive, compressed or not, unless it is there already; concurrent calls share the work.
   * @throws ClusterError when the content is not the one the image config names
   */
  async unpack(
    layer: { readonly chainId: Digest; readonly diffId: Digest },
    archive: () => AsyncIterable<Uint8Array>,
  ): Promise<void> {
    if (await this.has(layer.chainId)) return;
    const running = this.#busy.get(layer.chainId);
    if (running !== undefined) return running;
    const work = this.#unpack(layer, archive()).finally(() => this.#busy.delete(layer.chainId));
    this.#busy.set(layer.chainId, work);
    return work;
  }

  async #unpack(
    layer: { readonly chainId: Digest; readonly diffId: Digest },
    archive: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    this.#sequence += 1;
    const temporary = join(this.#temporary, `${hexOf(layer.chainId)}.${this.#sequence}`);
    const root = join(temporary, 'diff');
    await mkdir(root, { recursive: true, mode: 0o755 });
    try {
      const hash = createHash('sha256');
      const plain = async function* (): AsyncGenerator<Buffer> {
        for await (const chunk of decompress(archive)) {
          hash.update(chunk);
          yield chunk;
        }
      };
      const { bytes, opaque } = await unpackLayer(plain(), root);
      const diffId = `sha256:${hash.digest('hex')}`;
      if (diffId !== layer.diffId) {
        throw new ClusterError(
          'system',
          `layer verification failed: got ${diffId}, want ${layer.diffId}`,
        );
      }
      const record: LayerRecord = { diffId, bytes, opaque };
      await writeFile(join(temporary, 'layer.json'), JSON.stringify(record));
      await rename(temporary, join(this.#layers, hexOf(layer.chainId)));
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }

  /** Read-only directories of an image, top-most first. */
  directories(diffIds: readonly Digest[]): readonly string[] {
    return chainIds(diffIds)
      .map((chainId) => join(this.#layers, hexOf(chainId), 'diff'))
      .reverse();
  }

  /** The files of an image, and of the container on top of it when `containerId` is given. */
  async view(diffIds: readonly Digest[], containerId?: string): Promise<LayeredView> {
    const layers: ViewLayer[] = [];
    for (const chainId of chainIds(diffIds)) {
      const opaque = new Set((await this.#record(chainId))?.opaque ?? []);
      layers.unshift({ directory: join(this.#layers, hexOf(chainId), 'diff'), opaque });
    }
    if (containerId !== undefined) {
      // What the kernel made opaque since cannot be seen without getxattr(2); it only matters after a rm -r and mkdir.
      layers.unshift({
        directory: join(this.#containers, containerId, 'upper'),
        opaque: new Set(),
      });
    }
    return new LayeredView(layers);
  }

  /** The writable layer of a container; made when missing. An image without layers gets one empty layer. */
  async prepare(containerId: string, diffIds: readonly Digest[]): Promise<Snapshot> {
    const base = join(this.#containers, containerId);
    const upperDir = join(base, 'upper');
    const workDir = join(base, 'work');
    await mkdir(upperDir, { recursive: true, mode: 0o755 });
    await mkdir(workDir, { recursive: true, mode: 0o700 });
    if (diffIds.length > 0) return { lowerDirs: this.directories(diffIds), upperDir, workDir };
    const empty = join(base, 'empty');
    await mkdir(empty, { recursive: true, mode: 0o755 });
    return { lowerDirs: [empty], upperDir, workDir };
  }

  async removeSnapshot(containerId: string): Promise<void> {
    await rm(join(this.#containers, containerId), { recursive: true, force: true });
  }

  /** Containers that have a writable layer. */
  async snapshots(): Promise<readonly string[]> {
    return (await readdir(this.#containers)).sort();
  }

  /** Removes every layer that is not in `keep`. @returns bytes freed */
  async retain(keep: ReadonlySet<Digest>): Promise<number> {
    let freed = 0;
    for (const name of await readdir(this.#layers)) {
      const chainId = `sha256:${name}`;
      if (keep.has(chainId)) continue;
      freed += await this.bytes(chainId);
      // Renamed first: a crash in the middle must not leave half a layer under its name.
      this.#sequence += 1;
      const doomed = join(this.#temporary, `${name}.${this.#sequence}`);
      await rename(join(this.#layers, name), doomed);
      await rm(doomed, { recursive: true, force: true });
    }
    return freed;
  }

  async #record(chainId: Digest): Promise<LayerRecord | undefined> {
    try {
      const text = await readFile(join(this.#layers, hexOf(chainId), 'layer.json'), 'utf8');
      return JSON.parse(text) as LayerRecord;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }
}
