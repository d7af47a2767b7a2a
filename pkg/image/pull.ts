import { ClusterError, must } from '../model/index.ts';
import type { Digest } from './content.ts';
import { chainIds } from './layers.ts';
import {
  choosePlatform,
  type Descriptor,
  hostPlatform,
  isIndex,
  type Manifest,
  type Platform,
  parseConfig,
  parseManifest,
} from './manifest.ts';
import { type OnProgress, transferProgress } from './progress.ts';
import { familiarName, parseReference, type Reference, withDefaultTag } from './reference.ts';
import { type RegistryAuth, RegistryClient, type RegistryOptions } from './registry.ts';
import type { Image, ImageStore } from './store.ts';

export interface PullOptions {
  readonly auth?: RegistryAuth | undefined;
  /** Default: this machine's. */
  readonly platform?: Platform | undefined;
  readonly registry?: RegistryOptions | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Chosen {
  /** What the registry calls the name: index or manifest. */
  readonly root: Digest;
  readonly digest: Digest;
  readonly manifest: Manifest;
}

const DOWNLOADS_MAX = 3;
const PROGRESS_STEP_BYTES = 1 << 19;
const shortId = (digest: Digest): string => digest.slice(7, 19);

/**
 * Brings an image here. Blobs that are here are not fetched again; every blob is checked against its digest.
 * @throws ClusterError in the words of `docker pull`
 */
export async function pullImage(
  store: ImageStore,
  name: string,
  options: PullOptions = {},
): Promise<Image> {
  const reference = withDefaultTag(parseReference(name));
  const client = new RegistryClient(reference, options.auth, options.registry);
  const say = options.onProgress ?? silent;
  say({
    status: `Pulling from ${reference.path}`,
    id: reference.tag ?? reference.digest,
  });
  return store.whilePinned(name, async () => {
    const chosen = await chooseManifest(store, client, { reference, options });
    const before = store.find(familiarName(reference))?.id;
    await fetchBlobs(store, client, { manifest: chosen.manifest, say, signal: options.signal });
    const image = await store.add(chosen.digest, {
      onLayer: (digest, state): void =>
        say({
          status: state === 'extracting' ? 'Extracting' : 'Pull complete',
          progressDetail: {},
          id: shortId(digest),
        }),
    });
    await store.recordDigest(reference, chosen.root, image.id);
    if (reference.tag !== undefined && reference.digest === undefined) {
      await store.tag(image.id, familiarName(reference));
    }
    say({ status: `Digest: ${chosen.root}` });
    const fresh = before === image.id ? 'Image is up to date' : 'Downloaded newer image';
    say({ status: `Status: ${fresh} for ${familiarName(reference)}` });
    return must(store.find(image.id), 'an image that was just added');
  });
}

const silent: OnProgress = () => undefined;

function wantedOf(reference: Reference): string {
  return reference.digest ?? must(reference.tag, 'a tag, which withDefaultTag added');
}

async function chooseManifest(
  store: ImageStore,
  client: RegistryClient,
  { reference, options }: { reference: Reference; options: PullOptions },
): Promise<Chosen> {
  const fetched = await client.manifest(wantedOf(reference), options.signal);
  const parsed = parseManifest(fetched.bytes);
  if (!isIndex(parsed)) {
    const digest = await store.content.putBytes(fetched.bytes);
    return { root: fetched.digest, digest, manifest: parsed };
  }
  const entry = choosePlatform(parsed, options.platform ?? hostPlatform());
  const bytes = (await client.manifest(entry.digest, options.signal)).bytes;
  const manifest = parseManifest(bytes);
  if (isIndex(manifest)) throw new ClusterError('invalid', 'index inside an index');
  return { root: fetched.digest, digest: await store.content.putBytes(bytes), manifest };
}

async function fetchBlobs(
  store: ImageStore,
  client: RegistryClient,
  {
    manifest,
    say,
    signal,
  }: { manifest: Manifest; say: OnProgress; signal?: AbortSignal | undefined },
): Promise<void> {
  await fetchBlob(store, client, { blob: manifest.config, say: silent, signal });
  const config = parseConfig(await store.content.read(manifest.config.digest));
  const chain = chainIds(config.rootfs.diff_ids);
  const missing: Descriptor[] = [];
  for (const [index, layer] of manifest.layers.entries()) {
    const here = await store.content.size(layer.digest);
    const chainId = chain[index];
    const unpacked = chainId !== undefined && (await store.layers.has(chainId));
    const status = here !== undefined && unpacked ? 'Already exists' : 'Pulling fs layer';
    say({ status, progressDetail: {}, id: shortId(layer.digest) });
    if (here === undefined) missing.push(layer);
  }
  const queue = [...new Map(missing.map((layer) => [layer.digest, layer])).values()];
  const downloader = async (): Promise<void> => {
    for (let layer = queue.shift(); layer; layer = queue.shift()) {
      await fetchBlob(store, client, { blob: layer, say, signal });
      say({ status: 'Download complete', progressDetail: {}, id: shortId(layer.digest) });
    }
  };
  await Promise.all(Array.from({ length: DOWNLOADS_MAX }, downloader));
}

async function fetchBlob(
  store: ImageStore,
  client: RegistryClient,
  { blob, say, signal }: { blob: Descriptor; say: OnProgress; signal?: AbortSignal | undefined },
): Promise<void> {
  if ((await store.content.size(blob.digest)) !== undefined) return;
  const source = await client.blob(blob.digest, signal);
  let said = 0;
  const onBytes = (current: number): void => {
    if (current > blob.size)
      source.destroy(new ClusterError('system', `blob ${blob.digest} is larger than announced`));
    if (current - said < PROGRESS_STEP_BYTES && current !== blob.size) return;
    said = current;
    say(transferProgress('Downloading', shortId(blob.digest), { current, total: blob.size }));
  };
  await store.content.put(source, { expected: blob.digest, onBytes });
}

/** What `GET /distribution/{name}/json` answers. */
export interface DistributionInspect {
  readonly Descriptor: {
    readonly mediaType: string;
    readonly digest: Digest;
    readonly size: number;
  };
  readonly Platforms: readonly {
    readonly architecture: string;
    readonly os: string;
    readonly variant?: string | undefined;
  }[];
}

/** Asks the registry what a name stands for, without fetching layers. Fails fast when the registry is away. */
export async function inspectDistribution(
  name: string,
  options: Pick<PullOptions, 'auth' | 'registry' | 'signal'> = {},
): Promise<DistributionInspect> {
  const reference = withDefaultTag(parseReference(name));
  const client = new RegistryClient(reference, options.auth, options.registry);
  const fetched = await client.manifest(wantedOf(reference), options.signal);
  const parsed = parseManifest(fetched.bytes);
  const Descriptor = {
    mediaType: parsed.mediaType,
    digest: fetched.digest,
    size: fetched.bytes.length,
  };
  if (isIndex(parsed)) {
    const platforms = parsed.manifests.flatMap(({ platform }) => (platform ? [platform] : []));
    return { Descriptor, Platforms: platforms.filter(({ os }) => os !== 'unknown') };
  }
  const chunks: Buffer[] = [];
  for await (const chunk of await client.blob(parsed.config.digest, options.signal))
    chunks.push(chunk as Buffer);
  const { architecture, os, variant } = parseConfig(Buffer.concat(chunks));
  return { Descriptor, Platforms: [{ architecture, os, variant }] };
}
