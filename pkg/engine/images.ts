/** The verbs of `docker image`, Docker-shaped. */
import { Readable } from 'node:stream';
import {
  checkLogin,
  type Image,
  type ImageProcess,
  importImage,
  inspectDistribution,
  loadImages,
  type Progress,
  parsePlatform,
  parseReference,
  pullImage,
  pushImage,
  type RegistryAuth,
  saveImages,
} from '../image/index.ts';
import type { DockerJson } from './docker-shape.ts';
import type { Host } from './host.ts';
import { applyInstructions } from './instructions.ts';

interface PullOptions {
  readonly auth: RegistryAuth | undefined;
  readonly platform?: string | undefined;
  readonly signal: AbortSignal;
}

const DISTRIBUTION_TIMEOUT_MS = 5_000;
const LOGIN_TIMEOUT_MS = 30_000;

export class Images {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  async list(_options: { readonly all: boolean }): Promise<readonly DockerJson[]> {
    const images = [...this.#host.images.list()].sort(
      (left, right) => right.addedAt - left.addedAt,
    );
    return images.map((image) => this.#summary(image));
  }

  #summary(image: Image): DockerJson {
    const containers = this.#host.registry.list();
    return {
      Id: image.id,
      ParentId: '',
      RepoTags: image.repoTags,
      RepoDigests: image.repoDigests,
      Created: Math.floor(Date.parse(createdOf(image)) / 1000),
      Size: image.size,
      SharedSize: -1,
      Labels: image.config.config?.Labels ?? {},
      Containers: containers.filter(({ record }) => record.imageId === image.id).length,
    };
  }

  async inspect(name: string): Promise<DockerJson> {
    const image = this.#host.images.get(name);
    const { config } = image;
    return {
      Id: image.id,
      RepoTags: image.repoTags,
      RepoDigests: image.repoDigests,
      Parent: '',
      Comment: config.history?.at(-1)?.comment ?? '',
      Created: createdOf(image),
      DockerVersion: '',
      Author: config.author ?? '',
      Config: { ...config.config, Image: '' },
      Architecture: config.architecture,
      ...(config.variant ? { Variant: config.variant } : {}),
      Os: config.os,
      Size: image.size,
      GraphDriver: { Name: 'overlay2', Data: null },
      RootFS: { Type: 'layers', Layers: config.rootfs.diff_ids },
      Metadata: { LastTagTime: new Date(image.addedAt).toISOString() },
    };
  }

  async history(name: string): Promise<readonly DockerJson[]> {
    const image = this.#host.images.get(name);
    const sizes = await this.#host.images.layers.sizes(image.config.rootfs.diff_ids);
    let layer = 0;
    const entries = (image.config.history ?? []).map((entry) => ({
      Id: '<missing>',
      Created: Math.floor(Date.parse(entry.created ?? '1970-01-01T00:00:00Z') / 1000),
      CreatedBy: entry.created_by ?? '',
      Tags: null as readonly string[] | null,
      Size: entry.empty_layer ? 0 : (sizes[layer++] ?? 0),
      Comment: entry.comment ?? '',
    }));
    const newest = entries.at(-1);
    if (newest) Object.assign(newest, { Id: image.id, Tags: image.repoTags });
    return entries.reverse();
  }

  async tag(name: string, reference: string): Promise<void> {
    await this.#host.images.tag(name, reference);
    this.#emit('tag', this.#host.images.get(name).id, reference);
  }

  async remove(
    name: string,
    options: { readonly force: boolean; readonly noPrune: boolean },
  ): Promise<readonly DockerJson[]> {
    const { id } = this.#host.images.get(name);
    const removals = await this.#host.images.remove(name, {
      force: options.force,
      usedBy: (image) => this.#userOf(image),
    });
    for (const removal of removals) {
      if ('Untagged' in removal) this.#emit('untag', id, removal.Untagged);
      else this.#emit('delete', id, removal.Deleted);
    }
    return removals;
  }

  #userOf(imageId: string): { readonly id: string; readonly running: boolean } | undefined {
    const users = this.#host.registry.list().filter(({ record }) => record.imageId === imageId);
    const user = users.find(({ running }) => running) ?? users[0];
    return user && { id: user.id, running: user.running };
  }

  #emit(action: string, id: string, name: string): void {
    this.#host.events.emit('image', action, { id, attributes: { name } });
  }

  pull(reference: string, options: PullOptions): AsyncIterable<DockerJson> {
    parseReference(reference);
    const platform = options.platform ? parsePlatform(options.platform) : undefined;
    return progressOf(async (onProgress) => {
      const { auth, signal } = options;
      const registry = this.#host.options.registry;
      await pullImage(this.#host.images, reference, {
        auth,
        signal,
        platform,
        registry,
        onProgress,
      });
      this.#emit('pull', reference, reference);
    });
  }

  push(reference: string, options: PullOptions): AsyncIterable<DockerJson> {
    parseReference(reference);
    return progressOf(async (onProgress) => {
      const { auth, signal } = options;
      const registry = this.#host.options.registry;
      await pushImage(this.#host.images, reference, { auth, signal, registry, onProgress });
      this.#emit('push', reference, reference);
    });
  }

  load(tar: Readable, _signal: AbortSignal): AsyncIterable<DockerJson> {
    return progressOf(async (onProgress) => {
      for (const image of await loadImages(this.#host.images, tar, onProgress)) {
        this.#emit('load', image.id, image.repoTags[0] ?? image.id);
      }
    });
  }

  importTar(
    tar: Readable,
    options: {
      readonly reference?: string | undefined;
      readonly message?: string | undefined;
      readonly changes: readonly string[];
      readonly signal: AbortSignal;
    },
  ): AsyncIterable<DockerJson> {
    const name = options.reference || undefined;
    if (name !== undefined) parseReference(name);
    const process: ImageProcess = applyInstructions({}, options.changes);
    return progressOf(async (onProgress) => {
      const { message } = options;
      const image = await importImage(this.#host.images, tar, { name, message, process });
      this.#emit('import', image.id, name ?? image.id);
      onProgress({ status: image.id });
    });
  }

  async save(names: readonly string[]): Promise<Readable> {
    return Readable.from(saveImages(this.#host.images, names), { objectMode: false });
  }

  async prune(options: {
    readonly dangling: boolean;
    readonly keep: (summary: DockerJson) => boolean;
  }): Promise<{ readonly deleted: readonly DockerJson[]; readonly spaceReclaimed: number }> {
    const deleted: DockerJson[] = [];
    let spaceReclaimed = 0;
    for (const image of this.#host.images.list()) {
      if (this.#userOf(image.id) || (options.dangling && image.repoTags.length > 0)) continue;
      if (options.keep(this.#summary(image))) continue;
      deleted.push(...(await this.remove(image.id, { force: true, noPrune: false })));
      spaceReclaimed += image.size;
    }
    return { deleted, spaceReclaimed };
  }

  async distribution(reference: string, auth: RegistryAuth | undefined): Promise<DockerJson> {
    const signal = AbortSignal.timeout(DISTRIBUTION_TIMEOUT_MS);
    const registry = this.#host.options.registry;
    const found = await inspectDistribution(reference, { auth, signal, registry });
    return { ...found };
  }

  async login(auth: RegistryAuth): Promise<void> {
    const signal = AbortSignal.timeout(LOGIN_TIMEOUT_MS);
    await checkLogin(auth, { signal, registry: this.#host.options.registry });
  }
}

function createdOf(image: Image): string {
  return image.config.created ?? '0001-01-01T00:00:00Z';
}

/** What `work` reports, as an iteration that ends, or fails, with it. */
async function* progressOf(
  work: (onProgress: (progress: Progress) => void) => Promise<void>,
): AsyncGenerator<DockerJson> {
  const queue: DockerJson[] = [];
  let wake = (): void => undefined;
  let over = false;
  const done = work((progress) => {
    queue.push({ ...progress });
    wake();
  }).finally(() => {
    over = true;
    wake();
  });
  done.catch(() => undefined); // thrown below
  for (;;) {
    const next = queue.shift();
    if (next) {
      yield next;
      continue;
    }
    if (over) break;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  await done;
}
