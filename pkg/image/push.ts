import { ClusterError } from '../model/index.ts';
import type { Descriptor } from './manifest.ts';
import { transferProgress } from './progress.ts';
import type { PullOptions } from './pull.ts';
import { familiarName, parseReference, repositoryOf, withDefaultTag } from './reference.ts';
import { RegistryClient } from './registry.ts';
import type { ImageStore } from './store.ts';

/**
 * Sends an image to the registry its name says; blobs that are there are not sent again.
 * @throws ClusterError in the words of `docker push`
 */
export async function pushImage(
  store: ImageStore,
  name: string,
  options: PullOptions = {},
): Promise<void> {
  const reference = withDefaultTag(parseReference(name));
  const image = store.find(name);
  if (!image || reference.tag === undefined) {
    throw new ClusterError(
      'not-found',
      `An image does not exist locally with the tag: ${familiarName({ ...reference, tag: undefined })}`,
    );
  }
  const client = new RegistryClient(reference, options.auth, options.registry, 'pull,push');
  const say = options.onProgress ?? ((): void => undefined);
  say({ status: `The push refers to repository [${repositoryOf(reference)}]` });
  const manifest = await store.manifestOf(image.id);
  for (const blob of [...manifest.layers, manifest.config]) {
    await pushBlob(store, client, { blob, say, signal: options.signal });
  }
  const bytes = await store.content.read(image.manifest);
  await client.putManifest(reference.tag, { bytes, mediaType: manifest.mediaType }, options.signal);
  await store.recordDigest(reference, image.manifest, image.id);
  say({ status: `${reference.tag}: digest: ${image.manifest} size: ${bytes.length}` });
  say({
    progressDetail: {},
    aux: { Tag: reference.tag, Digest: image.manifest, Size: bytes.length },
  });
}

async function pushBlob(
  store: ImageStore,
  client: RegistryClient,
  {
    blob,
    say,
    signal,
  }: {
    blob: Descriptor;
    say: NonNullable<PullOptions['onProgress']>;
    signal?: AbortSignal | undefined;
  },
): Promise<void> {
  const id = blob.digest.slice(7, 19);
  if (await client.hasBlob(blob.digest, signal)) {
    say({ status: 'Layer already exists', progressDetail: {}, id });
    return;
  }
  say(transferProgress('Pushing', id, { current: 0, total: blob.size }));
  await client.putBlob(blob, () => store.content.stream(blob.digest), signal);
  say({ status: 'Pushed', progressDetail: {}, id });
}
