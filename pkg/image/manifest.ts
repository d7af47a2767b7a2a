/** Manifests, indexes and image configs: OCI image-spec 1.1 and Docker image manifest v2 schema 2. */
import { ClusterError } from '../model/index.ts';
import { checkDigest, type Digest } from './content.ts';

export const MEDIA = {
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
} as const;

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly platform?: Platform | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

export interface Manifest {
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** A list of manifests for several platforms. */
export interface Index {
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
}

/** What the image wants of a container; Docker's names, see the image-spec's config.md. */
export interface ImageProcess {
  readonly User?: string | undefined;
  readonly Env?: readonly string[] | null | undefined;
  readonly Entrypoint?: readonly string[] | null | undefined;
  readonly Cmd?: readonly string[] | null | undefined;
  readonly WorkingDir?: string | undefined;
  readonly Labels?: Readonly<Record<string, string>> | null | undefined;
  readonly Volumes?: Readonly<Record<string, object>> | null | undefined;
  readonly ExposedPorts?: Readonly<Record<string, object>> | null | undefined;
  readonly StopSignal?: string | undefined;
  readonly Healthcheck?:
    | {
        readonly Test?: readonly string[] | null | undefined;
        readonly Interval?: number | undefined;
        readonly Timeout?: number | undefined;
        readonly StartPeriod?: number | undefined;
        readonly StartInterval?: number | undefined;
        readonly Retries?: number | undefined;
      }
    | null
    | undefined;
}

export interface HistoryEntry {
  readonly created?: string | undefined;
  readonly created_by?: string | undefined;
  readonly comment?: string | undefined;
  readonly author?: string | undefined;
  readonly empty_layer?: boolean | undefined;
}

export interface ImageConfig {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string | undefined;
  readonly created?: string | undefined;
  readonly author?: string | undefined;
  readonly config?: ImageProcess | null | undefined;
  readonly rootfs: { readonly type: string; readonly diff_ids: readonly Digest[] };
  readonly history?: readonly HistoryEntry[] | null | undefined;
}

const notJson = (what: string, cause: unknown): ClusterError =>
  new ClusterError('invalid', `${what} is not JSON`, { cause });

function parseJson(bytes: Uint8Array, what: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch (error) {
    throw notJson(what, error);
  }
  throw new ClusterError('invalid', `${what} is not a JSON object`);
}

function descriptor(value: unknown, what: string): Descriptor {
  const found = value as Partial<Descriptor> | null | undefined;
  if (typeof found?.digest !== 'string' || typeof found.size !== 'number') {
    throw new ClusterError('invalid', `${what} has no digest or size`);
  }
  return {
    mediaType: found.mediaType ?? '',
    digest: checkDigest(found.digest),
    size: found.size,
    platform: found.platform,
    annotations: found.annotations,
  };
}

/** @throws ClusterError `invalid` for schema 1 and anything malformed */
export function parseManifest(bytes: Uint8Array): Manifest | Index {
  const value = parseJson(bytes, 'manifest');
  const mediaType = typeof value['mediaType'] === 'string' ? value['mediaType'] : '';
  if (Array.isArray(value['manifests'])) {
    const manifests = value['manifests'].map((each) => descriptor(each, 'index entry'));
    return { mediaType: mediaType || MEDIA.ociIndex, manifests };
  }
  if (!Array.isArray(value['layers'])) {
    throw new ClusterError('invalid', 'unsupported manifest: neither layers nor manifests');
  }
  return {
    mediaType: mediaType || MEDIA.ociManifest,
    config: descriptor(value['config'], 'manifest config'),
    layers: value['layers'].map((each) => descriptor(each, 'manifest layer')),
  };
}

export function isIndex(value: Manifest | Index): value is Index {
  return 'manifests' in value;
}

/** @throws ClusterError `invalid` when it is not the config of a container image */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  const value = parseJson(bytes, 'image config') as Partial<ImageConfig>;
  if (!Array.isArray(value.rootfs?.diff_ids)) {
    throw new ClusterError('invalid', 'image config has no rootfs.diff_ids');
  }
  for (const id of value.rootfs.diff_ids) checkDigest(id);
  return {
    ...value,
    rootfs: value.rootfs,
    os: value.os ?? 'linux',
    architecture: value.architecture ?? '',
  };
}

const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  ia32: '386',
};

/** The platform of this machine in Go's words. */
export function hostPlatform(): Platform {
  return { os: 'linux', architecture: ARCHITECTURES[process.arch] ?? process.arch };
}

/** `linux/arm64/v8` or `linux`. */
export function parsePlatform(text: string): Platform {
  const [os = 'linux', architecture, variant] = text.split('/');
  return { os, architecture: architecture ?? hostPlatform().architecture, variant };
}

/** The entry for `want`; attestations and other systems are passed over. */
export function choosePlatform(index: Index, want: Platform): Descriptor {
  const fits = index.manifests.filter(
    ({ platform }) => platform?.os === want.os && platform.architecture === want.architecture,
  );
  const exact = fits.find(({ platform }) => platform?.variant === want.variant);
  const lone =
    index.manifests.length === 1 && !index.manifests[0]?.platform ? index.manifests[0] : undefined;
  const found = exact ?? (want.variant === undefined ? fits[0] : undefined) ?? lone;
  if (found) return found;
  const name = [want.os, want.architecture, want.variant].filter(Boolean).join('/');
  throw new ClusterError(
    'not-found',
    `no matching manifest for ${name} in the manifest list entries`,
  );
}
