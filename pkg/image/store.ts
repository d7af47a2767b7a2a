import { join } from 'node:path';
import { ClusterError, must } from '../model/index.ts';
import { ContentStore, type Digest } from './content.ts';
import { chainIds, LayerStore, type Snapshot } from './layers.ts';
import {
  type ImageConfig,
  isIndex,
  type Manifest,
  parseConfig,
  parseManifest,
} from './manifest.ts';
import {
  familiarRepository,
  parseReference,
  type Reference,
  repositoryOf,
  withDefaultTag,
} from './reference.ts';
import { type ImageRecord, Repositories } from './repositories.ts';

/** A complete image of this machine: all its layers are unpacked. */
export interface Image {
  /** `sha256:…`, the digest of its config. */
  readonly id: Digest;
  readonly manifest: Digest;
  readonly config: ImageConfig;
  /** Bytes of all layers. */
  readonly size: number;
  readonly addedAt: number;
  /** `nginx:1.27`, as users type them, sorted. */
  readonly repoTags: readonly string[];
  /** `nginx@sha256:…`. */
  readonly repoDigests: readonly string[];
}

/** What a removal did, in the order Docker reports it. */
export type Removal = { readonly Untagged: string } | { readonly Deleted: string };

/**
 * The images of one machine. Everything is on disk below one directory; the object may be dropped at any time and
 * made again.
 */
export class ImageStore {
  readonly content: ContentStore;
  readonly layers: LayerStore;
  readonly #repositories: Repositories;
  readonly #configs = new Map<Digest, ImageConfig>();
  readonly #sizes = new Map<Digest, number>();
  /** Blobs and chains of pulls and loads in progress: not garbage. */
  readonly #pinned = new Map<string, number>();
  #collecting: Promise<unknown> = Promise.resolve();

  private constructor(directory: string) {
    this.content = new ContentStore(join(directory, 'content'));
    this.layers = new LayerStore(directory);
    this.#repositories = new Repositories(join(directory, 'repositories.json'));
  }

  /** Opens or makes the store; half-made downloads and layers of a crash are removed. */
  static async open(directory: string): Promise<ImageStore> {
    const store = new ImageStore(directory);
    await store.content.open();
    await store.layers.open();
    await store.#repositories.open();
    for (const record of [...store.#repositories.images.values()]) {
      try {
        await store.#learn(record);
      } catch {
        // Its blobs are damaged or gone: the next pull brings it back.
        store.#forget(record.id);
      }
    }
    return store;
  }

  list(): readonly Image[] {
    return [...this.#repositories.images.values()].map((record) => this.#image(record));
  }

  /** By id, id prefix, name, name:tag or name@digest; undefined when there is none. */
  find(name: string): Image | undefined {
    const id = this.#identify(name);
    const record = id === undefined ? undefined : this.#repositories.images.get(id);
    return record && this.#image(record);
  }

  /** @throws ClusterError `No such image: x` */
  get(name: string): Image {
    const image = this.find(name);
    if (image) return image;
    throw new ClusterError(
      'not-found',
      `No such image: ${name.includes(':') || /^[0-9a-f]{12,64}$/.test(name) ? name : `${name}:latest`}`,
    );
  }

  /**
   * Adds an image whose blobs are in `content`: unpacks its layers, then records it.
   * @returns the image, complete
   */
  async add(
    manifestDigest: Digest,
    options: {
      readonly onLayer?: ((digest: Digest, state: 'extracting' | 'complete') => void) | undefined;
    } = {},
  ): Promise<Image> {
    const manifest = await this.#manifest(manifestDigest);
    const config = parseConfig(await this.content.read(manifest.config.digest));
    const chain = chainIds(config.rootfs.diff_ids);
    if (manifest.layers.length !== chain.length) {
      throw new ClusterError('invalid', 'invalid image: layers and diff_ids differ in number');
    }
    for (const [index, chainId] of chain.entries()) {
      const layer = must(manifest.layers[index], 'a layer per chain id');
      const diffId = must(config.rootfs.diff_ids[index], 'a diff id per chain id');
      options.onLayer?.(layer.digest, 'extracting');
      await this.layers.unpack({ chainId, diffId }, () => this.content.stream(layer.digest));
      options.onLayer?.(layer.digest, 'complete');
    }
    const id = manifest.config.digest;
    const known = this.#repositories.images.get(id);
    const record: ImageRecord = {
      id,
      manifest: manifestDigest,
      addedAt: known?.addedAt ?? Date.now(),
    };
    this.#repositories.images.set(id, record);
    await this.#learn(record);
    await this.#repositories.save();
    return this.#image(record);
  }

  /** Points `name` at an image, taking the name from another if need be. */
  async tag(source: string, name: string): Promise<void> {
    const image = this.get(source);
    const reference = withDefaultTag(parseReference(name));
    if (reference.digest !== undefined) {
      throw new ClusterError('invalid', 'refusing to create a tag with a digest reference');
    }
    const { tags } = this.#repositories;
    await this.#repositories.name(tags, `${repositoryOf(reference)}:${reference.tag}`, image.id);
  }

  /** Remembers under which registry digest an image came. */
  async recordDigest(reference: Reference, digest: Digest, id: Digest): Promise<void> {
    const { digests } = this.#repositories;
    await this.#repositories.name(digests, `${repositoryOf(reference)}@${digest}`, id);
  }

  /**
   * Takes a name away and, with its last name, the image. By id it must have one name only, unless `force`.
   * @param usedBy says which container needs the image, if any
   * @throws ClusterError conflict with Docker's words
   */
  async remove(
    name: string,
    options: {
      readonly force?: boolean | undefined;
      readonly usedBy: (
        id: Digest,
      ) => { readonly id: string; readonly running: boolean } | undefined;
    },
  ): Promise<readonly Removal[]> {
    const image = this.get(name);
    const byName = !isIdOf(image.id, name);
    const user = options.usedBy(image.id);
    refuseRemoval(image, { name: byName ? name : undefined, user, force: options.force === true });
    const removals = [...this.#untag(image, byName ? name : undefined)];
    const named = [...this.#repositories.tags.values()].includes(image.id);
    const gone = !named && !user;
    if (gone) {
      this.#forget(image.id);
      removals.push({ Deleted: image.id });
    }
    try {
      await this.#repositories.save();
    } catch (error) {
      if (!gone) throw error;
      // On a full disk there is room for the shorter list when the image is gone. One listed in vain is forgotten at the start.
      await this.collect();
      await this.#repositories.save();
    }
    if (gone) await this.collect();
    return removals;
  }

  #untag(image: Image, name: string | undefined): readonly Removal[] {
    const removals: Removal[] = [];
    const wanted = name === undefined ? undefined : nameKey(name);
    for (const map of [this.#repositories.tags, this.#repositories.digests]) {
      for (const [key, id] of [...map]) {
        if (id !== image.id || (wanted !== undefined && key !== wanted)) continue;
        map.delete(key);
        removals.push({ Untagged: familiarKey(key) });
      }
    }
    const tagsLeft = [...this.#repositories.tags.values()].includes(image.id);
    if (tagsLeft) return removals;
    // Digests without a tag left would keep the image for nobody.
    for (const [key, id] of [...this.#repositories.digests]) {
      if (id !== image.id) continue;
      this.#repositories.digests.delete(key);
      removals.push({ Untagged: familiarKey(key) });
    }
    return removals;
  }

  /** The writable layer for a container over an image's layers. */
  async prepareSnapshot(containerId: string, imageId: Digest): Promise<Snapshot> {
    const image = this.get(imageId);
    return this.layers.prepare(containerId, image.config.rootfs.diff_ids);
  }

  /** Layers and blobs that no image needs are removed. @returns bytes freed */
  async collect(): Promise<number> {
    if (this.#pinned.size > 0) return 0; // a pull in progress: the next collection finds it done
    const collecting = this.#collecting.catch(() => undefined).then(() => this.#collect());
    this.#collecting = collecting;
    return collecting;
  }

  async #collect(): Promise<number> {
    const chains = new Set<Digest>();
    const blobs = new Set<Digest>();
    for (const record of this.#repositories.images.values()) {
      const manifest = await this.#manifest(record.manifest);
      blobs.add(record.manifest).add(record.id);
      for (const layer of manifest.layers) blobs.add(layer.digest);
      const config = this.#configs.get(record.id);
      for (const chainId of chainIds(config?.rootfs.diff_ids ?? [])) chains.add(chainId);
    }
    return (await this.layers.retain(chains)) + (await this.content.retain(blobs));
  }

  /** Keeps `collect` away while blobs arrive that no image names yet. */
  async whilePinned<T>(reason: string, work: () => Promise<T>): Promise<T> {
    this.#pinned.set(reason, (this.#pinned.get(reason) ?? 0) + 1);
    try {
      await this.#collecting.catch(() => undefined); // one that began before must not take what comes now
      return await work();
    } finally {
      const left = must(this.#pinned.get(reason), 'a pin that was set') - 1;
      if (left === 0) this.#pinned.delete(reason);
      else this.#pinned.set(reason, left);
    }
  }

  async manifestOf(id: Digest): Promise<Manifest> {
    return this.#manifest(must(this.#repositories.images.get(id), `image ${id}`).manifest);
  }

  async #manifest(digest: Digest): Promise<Manifest> {
    const manifest = parseManifest(await this.content.read(digest));
    if (isIndex(manifest)) throw new ClusterError('invalid', `${digest} is an index, not an image`);
    return manifest;
  }

  async #learn(record: ImageRecord): Promise<void> {
    const config = parseConfig(await this.content.read(record.id));
    let size = 0;
    for (const chainId of chainIds(config.rootfs.diff_ids)) {
      if (!(await this.layers.has(chainId)))
        throw new ClusterError('system', `layer ${chainId} is missing`);
      size += await this.layers.bytes(chainId);
    }
    this.#configs.set(record.id, config);
    this.#sizes.set(record.id, size);
  }

  #forget(id: Digest): void {
    this.#repositories.images.delete(id);
    this.#configs.delete(id);
    this.#sizes.delete(id);
    for (const map of [this.#repositories.tags, this.#repositories.digests]) {
      for (const [key, value] of [...map]) if (value === id) map.delete(key);
    }
  }

  #image(record: ImageRecord): Image {
    const names = (map: ReadonlyMap<string, Digest>): readonly string[] =>
      [...map]
        .filter(([, id]) => id === record.id)
        .map(([key]) => familiarKey(key))
        .sort();
    return {
      ...record,
      config: must(this.#configs.get(record.id), `config of ${record.id}`),
      size: this.#sizes.get(record.id) ?? 0,
      repoTags: names(this.#repositories.tags),
      repoDigests: names(this.#repositories.digests),
    };
  }

  #identify(name: string): Digest | undefined {
    if (this.#repositories.images.has(name)) return name;
    const named = this.#named(name);
    if (named !== undefined) return named;
    const hex = name.replace(/^sha256:/, '');
    if (!/^[0-9a-f]{4,64}$/.test(hex)) return undefined;
    const found = [...this.#repositories.images.keys()].filter((id) =>
      id.startsWith(`sha256:${hex}`),
    );
    if (found.length > 1)
      throw new ClusterError('invalid', `multiple IDs found with provided prefix: ${name}`);
    return found[0];
  }

  #named(name: string): Digest | undefined {
    if (/^(sha256:)?[0-9a-f]{64}$/.test(name)) return undefined;
    const reference = withDefaultTag(parseReference(name));
    const repository = repositoryOf(reference);
    if (reference.digest === undefined)
      return this.#repositories.tags.get(`${repository}:${reference.tag}`);
    return this.#repositories.digests.get(`${repository}@${reference.digest}`);
  }
}

const conflict = (message: string): ClusterError =>
  new ClusterError('conflict', `conflict: ${message}`);

/** Throws when Docker would not remove it. `name` is absent when the image was asked for by id. */
function refuseRemoval(
  image: Image,
  request: {
    readonly name: string | undefined;
    readonly user: { readonly id: string; readonly running: boolean } | undefined;
    readonly force: boolean;
  },
): void {
  const short = image.id.slice(7, 19);
  const { name, user, force } = request;
  if (name === undefined && image.repoTags.length > 1 && !force) {
    throw conflict(
      `unable to delete ${short} (must be forced) - image is referenced in multiple repositories`,
    );
  }
  const last = name === undefined || image.repoTags.length <= 1;
  if (!last || !user || (force && !user.running)) return;
  const container = user.id.slice(0, 12);
  if (name !== undefined && !force) {
    throw conflict(
      `unable to remove repository reference "${name}" (must force) - container ${container} is using its referenced image ${short}`,
    );
  }
  if (name !== undefined) return; // forced: only the name goes
  const how = user.running ? 'cannot be forced' : 'must be forced';
  const state = user.running ? 'running' : 'stopped';
  throw conflict(
    `unable to delete ${short} (${how}) - image is being used by ${state} container ${container}`,
  );
}

function isIdOf(id: Digest, name: string): boolean {
  return id === name || (/^[0-9a-f]{4,64}$/.test(name) && id.startsWith(`sha256:${name}`));
}

/** The key of a name in the tables. */
function nameKey(name: string): string {
  const reference = withDefaultTag(parseReference(name));
  const repository = repositoryOf(reference);
  return reference.digest === undefined
    ? `${repository}:${reference.tag}`
    : `${repository}@${reference.digest}`;
}

function familiarKey(key: string): string {
  const reference = parseReference(key);
  const tail = reference.digest === undefined ? `:${reference.tag}` : `@${reference.digest}`;
  return `${familiarRepository(reference)}${tail}`;
}
