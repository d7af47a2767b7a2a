/** Every way to ask for a mount (`-v`, `--mount`, `--tmpfs`, `VOLUME`) → one list, one mount per target. */
import { posix } from 'node:path';
import { ClusterError } from '../model/index.ts';
import type { HostConfig, MountRequest } from './docker-shape.ts';
import type { ResolvedMount } from './record.ts';

const PROPAGATIONS = ['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared'];
const MODES = new Set([
  'ro',
  'rw',
  'z',
  'Z',
  'nocopy',
  'consistent',
  'cached',
  'delegated',
  ...PROPAGATIONS,
]);

export interface MountEnvironment {
  /** Whether a host path exists. */
  readonly exists: (path: string) => Promise<boolean>;
  /** Makes a host directory, for `-v /new:/x`. */
  readonly makeDirectory: (path: string) => Promise<void>;
  /** The volume's name; made when missing, anonymous without a name. */
  readonly ensureVolume: (request: {
    readonly name?: string | undefined;
    readonly driver?: string | undefined;
    readonly labels?: Readonly<Record<string, string>> | undefined;
    readonly options?: Readonly<Record<string, string>> | undefined;
  }) => Promise<{ readonly name: string; readonly anonymous: boolean }>;
  /** The mounts of another container, for `--volumes-from`. */
  readonly mountsOf: (container: string) => readonly ResolvedMount[];
}

const invalid = (text: string): ClusterError => new ClusterError('invalid', text);

/**
 * Decides all mounts of a container, sorted by target so that parents come first.
 * @param imageVolumes targets of the image's and the request's `Volumes`
 * @throws ClusterError `invalid` in Docker's words
 */
export async function resolveMounts(
  hostConfig: HostConfig,
  imageVolumes: readonly string[],
  environment: MountEnvironment,
): Promise<readonly ResolvedMount[]> {
  const byTarget = new Map<string, ResolvedMount>();
  const add = (mount: ResolvedMount): void => {
    if (byTarget.has(mount.target)) throw invalid(`Duplicate mount point: ${mount.target}`);
    byTarget.set(mount.target, mount);
  };
  for (const mount of borrowed(hostConfig, environment)) byTarget.set(mount.target, mount);
  for (const bind of hostConfig.Binds ?? []) add(await fromBind(bind, environment));
  for (const mount of hostConfig.Mounts ?? []) add(await fromMount(mount, environment));
  for (const [target, options] of Object.entries(hostConfig.Tmpfs ?? {})) {
    const readOnly = options.split(',').includes('ro');
    add({ type: 'tmpfs', target: cleanTarget(target), options, readOnly });
  }
  for (const volume of imageVolumes) {
    const target = cleanTarget(volume);
    if (byTarget.has(target)) continue;
    const { name } = await environment.ensureVolume({});
    add({
      type: 'volume',
      volume: name,
      target,
      readOnly: false,
      anonymous: true,
      noCopy: false,
      mode: '',
    });
  }
  return [...byTarget.values()].sort((left, right) => (left.target < right.target ? -1 : 1));
}

function borrowed(hostConfig: HostConfig, environment: MountEnvironment): readonly ResolvedMount[] {
  return (hostConfig.VolumesFrom ?? []).flatMap((source) => {
    const [name = '', mode = 'rw'] = source.split(':');
    const mounts = environment.mountsOf(name).filter((mount) => mount.type !== 'tmpfs');
    return mounts.map((mount) => ({ ...mount, readOnly: mode === 'ro' || mount.readOnly }));
  });
}

function cleanTarget(target: string): string {
  if (!target.startsWith('/')) {
    throw invalid(`invalid mount path: '${target}' mount path must be absolute`);
  }
  const clean = posix.normalize(target).replace(/(.)\/$/, '$1');
  if (clean === '/') throw invalid(`invalid volume specification: destination can't be '/'`);
  return clean;
}

async function fromBind(bind: string, environment: MountEnvironment): Promise<ResolvedMount> {
  const parts = bind.split(':');
  if (parts.length > 3 || parts.some((part) => part === '')) {
    throw invalid(`invalid volume specification: '${bind}'`);
  }
  const [first = '', second, mode = ''] = parts;
  const words = mode === '' ? [] : mode.split(',');
  const unknown = words.find((word) => !MODES.has(word));
  if (unknown !== undefined) throw invalid(`invalid mode: ${mode}`);
  const readOnly = words.includes('ro');
  const target = cleanTarget(second ?? first);
  if (second !== undefined && first.startsWith('/')) {
    if (!(await environment.exists(first))) await environment.makeDirectory(first);
    const propagation = checkPropagation(words.find((word) => PROPAGATIONS.includes(word)));
    return { type: 'bind', source: posix.normalize(first), target, readOnly, propagation, mode };
  }
  const volume = await environment.ensureVolume(second === undefined ? {} : { name: first });
  const noCopy = words.includes('nocopy');
  return {
    type: 'volume',
    volume: volume.name,
    target,
    readOnly,
    anonymous: second === undefined,
    noCopy,
    mode,
  };
}

function checkPropagation(propagation: string | null | undefined): string | undefined {
  if (propagation === undefined || propagation === null || propagation === '') return undefined;
  if (!PROPAGATIONS.includes(propagation))
    throw invalid(`invalid propagation mode: ${propagation}`);
  if (propagation.includes('shared')) {
    throw invalid(`${propagation} mounts are refused: a container never changes the host's mounts`);
  }
  return propagation;
}

function fromMount(mount: MountRequest, environment: MountEnvironment): Promise<ResolvedMount> {
  const type = mount.Type ?? '';
  if (!mount.Target) {
    throw invalid(`invalid mount config for type "${type}": field Target must not be empty`);
  }
  if (!mount.Target.startsWith('/')) {
    throw invalid(
      `invalid mount config for type "${type}": invalid mount path: '${mount.Target}' mount path must be absolute`,
    );
  }
  switch (type) {
    case 'bind':
      return bindMount(mount, environment);
    case 'volume':
      return volumeMount(mount, environment);
    case 'tmpfs':
      return Promise.resolve({
        type: 'tmpfs',
        target: cleanTarget(mount.Target),
        options: '',
        sizeBytes: mount.TmpfsOptions?.SizeBytes || undefined,
        modeBits: mount.TmpfsOptions?.Mode || undefined,
        readOnly: mount.ReadOnly ?? false,
      });
    default:
      throw invalid(`invalid mount config for type "${type}": mount type unknown: "${type}"`);
  }
}

async function bindMount(
  mount: MountRequest,
  environment: MountEnvironment,
): Promise<ResolvedMount> {
  const source = mount.Source ?? '';
  if (source === '') {
    throw invalid('invalid mount config for type "bind": field Source must not be empty');
  }
  if (!source.startsWith('/')) {
    throw invalid(
      `invalid mount config for type "bind": invalid mount path: '${source}' mount path must be absolute`,
    );
  }
  if (!(await environment.exists(source))) {
    if (!mount.BindOptions?.CreateMountpoint) {
      throw invalid(
        `invalid mount config for type "bind": bind source path does not exist: ${source}`,
      );
    }
    await environment.makeDirectory(source);
  }
  return {
    type: 'bind',
    source: posix.normalize(source),
    target: cleanTarget(mount.Target ?? ''),
    readOnly: mount.ReadOnly ?? false,
    propagation: checkPropagation(mount.BindOptions?.Propagation),
    nonRecursive: mount.BindOptions?.NonRecursive ?? undefined,
    mode: '',
  };
}

async function volumeMount(
  mount: MountRequest,
  environment: MountEnvironment,
): Promise<ResolvedMount> {
  const options = mount.VolumeOptions;
  const subpath = options?.Subpath || undefined;
  if (subpath !== undefined && (subpath.startsWith('/') || subpath.split('/').includes('..'))) {
    throw invalid(`invalid mount config for type "volume": invalid subpath: ${subpath}`);
  }
  const volume = await environment.ensureVolume({
    name: mount.Source || undefined,
    driver: options?.DriverConfig?.Name || undefined,
    labels: options?.Labels ?? undefined,
    options: options?.DriverConfig?.Options ?? undefined,
  });
  return {
    type: 'volume',
    volume: volume.name,
    target: cleanTarget(mount.Target ?? ''),
    readOnly: mount.ReadOnly ?? false,
    anonymous: volume.anonymous,
    noCopy: options?.NoCopy ?? false,
    subpath,
    mode: 'z',
  };
}
