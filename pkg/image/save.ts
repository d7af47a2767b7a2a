/** `docker save`: an archive that is an OCI image layout and Docker's manifest.json format in one. */
import type { Readable } from 'node:stream';
import { must } from '../model/index.ts';
import type { Digest } from './content.ts';
import { type Descriptor, MEDIA } from './manifest.ts';
import type { Image, ImageStore } from './store.ts';
import { tarEnd, tarHeader, tarMember, tarPadding } from './tar-write.ts';

const blobPath = (digest: Digest): string => `blobs/${digest.replace(':', '/')}`;

/**
 * The archive of the named images; an id saves the image without names.
 * @throws ClusterError `No such image: x` before the first byte
 */
export function saveImages(store: ImageStore, names: readonly string[]): AsyncGenerator<Buffer> {
  const wanted = new Map<Digest, { image: Image; tags: Set<string> }>();
  for (const name of names) {
    const image = store.get(name);
    const entry = wanted.get(image.id) ?? { image, tags: new Set<string>() };
    wanted.set(image.id, entry);
    const exact = image.repoTags.filter((tag) => tag === name || tag === `${name}:latest`);
    for (const tag of exact) entry.tags.add(tag);
  }
  return archive(store, [...wanted.values()]);
}

async function* archive(
  store: ImageStore,
  wanted: readonly { readonly image: Image; readonly tags: ReadonlySet<string> }[],
): AsyncGenerator<Buffer> {
  const written = new Set<Digest>();
  const entries: Descriptor[] = [];
  const saved: object[] = [];
  for (const { image, tags } of wanted) {
    const manifest = await store.manifestOf(image.id);
    for (const digest of [
      image.manifest,
      image.id,
      ...manifest.layers.map((layer) => layer.digest),
    ]) {
      if (!written.has(digest)) yield* blob(store, digest);
      written.add(digest);
    }
    const size = must(await store.content.size(image.manifest), 'the manifest of a stored image');
    const entry = { mediaType: manifest.mediaType, digest: image.manifest, size };
    if (tags.size === 0) entries.push(entry);
    for (const tag of tags) {
      entries.push({ ...entry, annotations: { 'io.containerd.image.name': tag } });
    }
    const Layers = manifest.layers.map((layer) => blobPath(layer.digest));
    saved.push({ Config: blobPath(image.id), RepoTags: [...tags], Layers });
  }
  const index = { schemaVersion: 2, mediaType: MEDIA.ociIndex, manifests: entries };
  yield text('index.json', index);
  yield text('manifest.json', saved);
  yield text('oci-layout', { imageLayoutVersion: '1.0.0' });
  yield tarEnd();
}

async function* blob(store: ImageStore, digest: Digest): AsyncGenerator<Buffer> {
  const size = must(await store.content.size(digest), 'a blob of a stored image');
  yield tarHeader({ path: blobPath(digest), type: 'file', size });
  const source: Readable = store.content.stream(digest);
  for await (const chunk of source) yield chunk as Buffer;
  yield tarPadding(size);
}

function text(path: string, value: unknown): Buffer {
  return tarMember({ path, type: 'file' }, Buffer.from(JSON.stringify(value)));
}
