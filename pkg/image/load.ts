/** Images from archives: `docker save`, OCI image layouts (image-layout.md), and plain root file systems. */
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { ClusterError, must } from '../model/index.ts';
import type { Digest } from './content.ts';
import { compressionOf, decompress } from './decompress.ts';
import {
  choosePlatform,
  type Descriptor,
  hostPlatform,
  type ImageConfig,
  type ImageProcess,
  isIndex,
  type Manifest,
  MEDIA,
  parseConfig,
  parseManifest,
} from './manifest.ts';
import type { OnProgress } from './progress.ts';
import { familiarName, parseReference, withDefaultTag } from './reference.ts';
import type { Image, ImageStore } from './store.ts';
import { readTar } from './tar.ts';

const damaged = (why: string, cause?: unknown): ClusterError =>
  new ClusterError('invalid', `invalid archive: ${why}`, { cause });

/** One image of `manifest.json`. */
interface SavedImage {
  readonly Config: string;
  readonly RepoTags?: readonly string[] | null | undefined;
  readonly Layers: readonly string[];
}

const LINKS_MAX = 8;

/** The members of an archive as files in a directory of ours; names never become paths. */
class ArchiveFiles {
  readonly #directory: string;
  readonly #files = new Map<string, string>();
  readonly #links = new Map<string, string>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  async read(archive: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const entry of readTar(decompress(archive))) {
      const name = posix.normalize(entry.path);
      if (entry.type === 'symlink') {
        this.#links.set(name, posix.join(posix.dirname(name), entry.linkPath));
      } else if (entry.type === 'hardlink') {
        this.#links.set(name, posix.normalize(entry.linkPath));
      } else if (entry.type === 'file') {
        const path = join(this.#directory, String(this.#files.size));
        await writeFile(path, entry.body());
        this.#files.set(name, path);
      }
    }
  }

  path(name: string): string | undefined {
    let at = posix.normalize(name);
    for (let hops = 0; hops < LINKS_MAX; hops++) {
      const found = this.#files.get(at);
      if (found !== undefined) return found;
      const next = this.#links.get(at);
      if (next === undefined) return undefined;
      at = next;
    }
    return undefined;
  }

  /** @throws ClusterError `invalid` when the archive has no such member */
  must(name: string): string {
    const path = this.path(name);
    if (path === undefined)
      throw new ClusterError('invalid', `invalid archive: ${name} is missing`);
    return path;
  }

  async json(name: string): Promise<unknown> {
    const text = await readFile(this.must(name), 'utf8');
    try {
      return JSON.parse(text);
    } catch (error) {
      throw damaged(`${name} is not JSON`, error);
    }
  }
}

/**
 * Loads every image of an archive, compressed or not.
 * @param onProgress gets `{stream: "Loaded image: x\n"}` per name
 */
export async function loadImages(
  store: ImageStore,
  archive: AsyncIterable<Uint8Array>,
  onProgress: OnProgress = () => undefined,
): Promise<readonly Image[]> {
  const directory = store.content.temporary();
  return store.whilePinned(directory, async () => {
    await mkdir(directory, { mode: 0o700 });
    try {
      const files = new ArchiveFiles(directory);
      await files.read(archive);
      if (files.path('manifest.json') !== undefined)
        return await loadSaved(store, files, onProgress);
      if (files.path('index.json') !== undefined) return await loadLayout(store, files, onProgress);
      throw new ClusterError('invalid', 'invalid archive: neither manifest.json nor index.json');
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
}

async function loadSaved(
  store: ImageStore,
  files: ArchiveFiles,
  onProgress: OnProgress,
): Promise<readonly Image[]> {
  const images: Image[] = [];
  for (const saved of (await files.json('manifest.json')) as readonly SavedImage[]) {
    const configBytes = await readFile(files.must(saved.Config));
    const layers: Descriptor[] = [];
    for (const layer of saved.Layers) layers.push(await storeLayer(store, files.must(layer)));
    const image = await addImage(store, configBytes, layers);
    images.push(await named(store, image, { names: saved.RepoTags ?? [], onProgress }));
  }
  return images;
}

async function loadLayout(
  store: ImageStore,
  files: ArchiveFiles,
  onProgress: OnProgress,
): Promise<readonly Image[]> {
  const blob = (digest: Digest): string => files.must(`blobs/${digest.replace(':', '/')}`);
  const manifestOf = async (
    descriptor: Descriptor,
  ): Promise<{ digest: Digest; manifest: Manifest }> => {
    const parsed = parseManifest(await readFile(blob(descriptor.digest)));
    if (!isIndex(parsed)) return { digest: descriptor.digest, manifest: parsed };
    return manifestOf(choosePlatform(parsed, hostPlatform()));
  };
  const index = parseManifest(await readFile(files.must('index.json')));
  if (!isIndex(index))
    throw new ClusterError('invalid', 'invalid archive: index.json is not an index');
  const images: Image[] = [];
  for (const entry of index.manifests) {
    const { digest, manifest } = await manifestOf(entry);
    for (const wanted of [manifest.config, ...manifest.layers]) {
      await store.content.put(createReadStream(blob(wanted.digest)), { expected: wanted.digest });
    }
    await store.content.put(createReadStream(blob(digest)), { expected: digest });
    const image = await store.add(digest);
    const name =
      entry.annotations?.['io.containerd.image.name'] ??
      entry.annotations?.['org.opencontainers.image.ref.name'];
    images.push(await named(store, image, { names: name === undefined ? [] : [name], onProgress }));
  }
  return images;
}

async function named(
  store: ImageStore,
  image: Image,
  { names, onProgress }: { names: readonly string[]; onProgress: OnProgress },
): Promise<Image> {
  for (const name of names) {
    await store.tag(image.id, name);
    onProgress({ stream: `Loaded image: ${familiarName(withDefaultTag(parseReference(name)))}\n` });
  }
  if (names.length === 0) onProgress({ stream: `Loaded image ID: ${image.id}\n` });
  return must(store.find(image.id), 'an image that was just added');
}

async function storeLayer(store: ImageStore, path: string): Promise<Descriptor> {
  const { digest, size } = await store.content.put(createReadStream(path));
  const head = createReadStream(path, { end: 3 });
  let first = Buffer.alloc(0);
  for await (const chunk of head) first = Buffer.concat([first, chunk as Buffer]);
  const suffix = { none: '', gzip: '+gzip', zstd: '+zstd' }[compressionOf(first)];
  return { mediaType: `${MEDIA.ociLayer}${suffix}`, digest, size };
}

/** An image made here has a manifest of ours, so that it can be saved and pushed like any other. */
async function addImage(
  store: ImageStore,
  configBytes: Uint8Array,
  layers: readonly Descriptor[],
): Promise<Image> {
  parseConfig(configBytes);
  const digest = await store.content.putBytes(configBytes);
  const config: Descriptor = { mediaType: MEDIA.ociConfig, digest, size: configBytes.length };
  const manifest = { schemaVersion: 2, mediaType: MEDIA.ociManifest, config, layers };
  return store.add(await store.content.putBytes(JSON.stringify(manifest)));
}

export interface ImportOptions {
  /** Name for the image; none leaves it with its id only. */
  readonly name?: string | undefined;
  /** Overrides of the empty process description. */
  readonly process?: ImageProcess | undefined;
  readonly message?: string | undefined;
  /** RFC 3339; default now. */
  readonly created?: string | undefined;
}

/** `docker import`: one archive of a root file system becomes an image with one layer. */
export async function importImage(
  store: ImageStore,
  archive: AsyncIterable<Uint8Array>,
  options: ImportOptions = {},
): Promise<Image> {
  const temporary = store.content.temporary();
  return store.whilePinned(temporary, async () => {
    const layer = await store.content.put(decompress(archive));
    const created = options.created ?? new Date().toISOString();
    const { architecture, os } = hostPlatform();
    const config: ImageConfig = {
      architecture,
      os,
      created,
      config: options.process ?? {},
      rootfs: { type: 'layers', diff_ids: [layer.digest] },
      history: [{ created, comment: options.message ?? 'Imported from -' }],
    };
    const descriptor = { mediaType: MEDIA.ociLayer, digest: layer.digest, size: layer.size };
    const image = await addImage(store, Buffer.from(JSON.stringify(config)), [descriptor]);
    if (options.name === undefined) return image;
    await store.tag(image.id, options.name);
    return must(store.find(image.id), 'an image that was just added');
  });
}
