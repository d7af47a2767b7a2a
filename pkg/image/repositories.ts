/** Which image each name stands for: one small file, replaced atomically. */
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Digest } from './content.ts';

/** What is stored of an image beside its blobs. */
export interface ImageRecord {
  /** Digest of the config: the image id. */
  readonly id: Digest;
  readonly manifest: Digest;
  /** When it came to this machine, milliseconds. */
  readonly addedAt: number;
}

interface Stored {
  readonly images: readonly ImageRecord[];
  /** `docker.io/library/nginx:latest` → image id. */
  readonly tags: Readonly<Record<string, Digest>>;
  /** `docker.io/library/nginx@sha256:…` → image id; the digest is the registry's manifest or index. */
  readonly digests: Readonly<Record<string, Digest>>;
}

export class Repositories {
  readonly #path: string;
  readonly images = new Map<Digest, ImageRecord>();
  readonly tags = new Map<string, Digest>();
  readonly digests = new Map<string, Digest>();
  #saving: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  async open(): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true });
    const text = await readFile(this.#path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (text === undefined) return;
    const stored = JSON.parse(text) as Stored;
    for (const image of stored.images) this.images.set(image.id, image);
    for (const [name, id] of Object.entries(stored.tags)) this.tags.set(name, id);
    for (const [name, id] of Object.entries(stored.digests)) this.digests.set(name, id);
  }

  /** Durable when it resolves; when it rejects, the name stands for what it did before. */
  async name(names: Map<string, Digest>, name: string, id: Digest): Promise<void> {
    const before = names.get(name);
    names.set(name, id);
    try {
      await this.save();
    } catch (error) {
      if (before === undefined) names.delete(name);
      else names.set(name, before);
      throw error;
    }
  }

  /** Durable when it resolves. Saves run one after the other, each with the newest content. */
  save(): Promise<void> {
    this.#saving = this.#saving.catch(() => undefined).then(() => this.#write());
    return this.#saving;
  }

  async #write(): Promise<void> {
    const stored: Stored = {
      images: [...this.images.values()],
      tags: Object.fromEntries(this.tags),
      digests: Object.fromEntries(this.digests),
    };
    const temporary = `${this.#path}.tmp`;
    try {
      const file = await open(temporary, 'w', 0o600);
      try {
        await file.writeFile(JSON.stringify(stored));
        await file.datasync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.#path);
    } finally {
      await rm(temporary, { force: true });
    }
  }
}
