/**
 * Blobs by digest: manifests, configs, layers. A blob exists under its final name only when it is complete and its
 * digest was checked, so whoever finds one may trust it.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { ClusterError } from '../model/index.ts';

/** `sha256:<64 hex>`. */
export type Digest = string;

const SHA256 = /^sha256:[0-9a-f]{64}$/;

/** @throws ClusterError `invalid` for anything but a sha256 digest */
export function checkDigest(digest: string): Digest {
  if (!SHA256.test(digest)) throw new ClusterError('invalid', `unsupported digest ${digest}`);
  return digest;
}

export function digestOf(bytes: Uint8Array | string): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export class ContentStore {
  readonly #blobs: string;
  readonly #ingest: string;

  constructor(directory: string) {
    this.#blobs = join(directory, 'blobs', 'sha256');
    this.#ingest = join(directory, 'ingest');
  }

  /** Makes the directories and drops downloads that never finished. */
  async open(): Promise<void> {
    await rm(this.#ingest, { recursive: true, force: true });
    await mkdir(this.#ingest, { recursive: true, mode: 0o700 });
    await mkdir(this.#blobs, { recursive: true, mode: 0o700 });
  }

  path(digest: Digest): string {
    return join(this.#blobs, checkDigest(digest).slice('sha256:'.length));
  }

  /** A fresh path on the same file system, for files that are renamed or removed by the caller. */
  temporary(): string {
    return join(this.#ingest, randomBytes(12).toString('hex'));
  }

  /** Size in bytes, or undefined when the blob is not here. */
  async size(digest: Digest): Promise<number | undefined> {
    const found = await stat(this.path(digest)).catch(() => undefined);
    return found?.size;
  }

  async read(digest: Digest): Promise<Buffer> {
    const bytes = await readFile(this.path(digest));
    if (digestOf(bytes) !== digest) {
      throw new ClusterError('system', `blob ${digest} is damaged on disk`);
    }
    return bytes;
  }

  stream(digest: Digest): Readable {
    return createReadStream(this.path(digest), { highWaterMark: 1 << 18 });
  }

  async putBytes(bytes: Uint8Array | string): Promise<Digest> {
    const digest = digestOf(bytes);
    if ((await this.size(digest)) !== undefined) return digest;
    const stored = await this.put([Buffer.from(bytes)], { expected: digest });
    return stored.digest;
  }

  /**
   * Stores a stream. With `expected`, a different digest throws and leaves nothing behind.
   * @returns digest and size in bytes
   */
  async put(
    source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: {
      readonly expected?: Digest | undefined;
      readonly onBytes?: ((total: number) => void) | undefined;
    } = {},
  ): Promise<{ digest: Digest; size: number }> {
    const temporary = this.temporary();
    try {
      const hash = createHash('sha256');
      let size = 0;
      const file = await open(temporary, 'wx', 0o600);
      try {
        for await (const chunk of source) {
          hash.update(chunk);
          size += chunk.length;
          await file.writeFile(chunk);
          options.onBytes?.(size);
        }
        await file.datasync();
      } finally {
        await file.close();
      }
      const digest = `sha256:${hash.digest('hex')}`;
      if (options.expected !== undefined && digest !== options.expected) {
        throw new ClusterError(
          'system',
          `digest mismatch: got ${digest}, want ${options.expected}`,
        );
      }
      await rename(temporary, this.path(digest));
      return { digest, size };
    } finally {
      await rm(temporary, { force: true });
    }
  }

  /** Removes every blob that is not in `keep`. @returns bytes freed */
  async retain(keep: ReadonlySet<Digest>): Promise<number> {
    let freed = 0;
    for (const name of await readdir(this.#blobs)) {
      const digest = `sha256:${name}`;
      if (keep.has(digest)) continue;
      freed += (await this.size(digest)) ?? 0;
      await rm(this.path(digest), { force: true });
    }
    return freed;
  }
}
