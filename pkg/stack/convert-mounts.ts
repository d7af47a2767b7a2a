import type { MountSpec } from '../model/index.ts';
import { asMap, asText, asTextMap, isMap, stackProblem, type YamlMap } from './problem.ts';
import { compact, isExternal, objectName, type Scope, stackLabels } from './scope.ts';
import { sizeBytes, truth } from './units.ts';

interface Volume {
  readonly type: string;
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
  readonly propagation?: string | undefined;
  readonly nocopy?: boolean | undefined;
  readonly subpath?: string | undefined;
  readonly size?: number | undefined;
}

const PROPAGATIONS = new Set(['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave']);

/** One entry of `volumes:`, short or long. */
export function convertMount(scope: Scope, entry: unknown): MountSpec {
  const volume = isMap(entry) ? longVolume(entry) : shortVolume(asText(entry));
  switch (volume.type) {
    case 'volume':
      return volumeMount(scope, volume);
    case 'bind':
      return bindMount(scope, volume);
    case 'tmpfs':
      return compact({
        Type: 'tmpfs',
        Target: volume.target,
        ReadOnly: volume.readOnly || undefined,
        TmpfsOptions: volume.size === undefined ? undefined : { SizeBytes: volume.size },
      });
    case 'cluster':
      return clusterMount(scope, volume);
    default:
      throw stackProblem(
        `volume type must be volume, bind, tmpfs or cluster, not "${volume.type}"`,
      );
  }
}

function longVolume(entry: YamlMap): Volume {
  const bind = asMap(entry['bind']);
  const volume = asMap(entry['volume']);
  const size = asMap(entry['tmpfs'])['size'];
  return {
    type: asText(entry['type']) || 'volume',
    source: asText(entry['source']),
    target: asText(entry['target']),
    readOnly: entry['read_only'] !== undefined && truth(entry['read_only'], 'read_only'),
    propagation: asText(bind['propagation']) || undefined,
    nocopy: volume['nocopy'] === undefined ? undefined : truth(volume['nocopy'], 'nocopy'),
    subpath: asText(volume['subpath']) || undefined,
    size: size === undefined ? undefined : sizeBytes(size, 'tmpfs.size'),
  };
}

/** `TARGET`, `SOURCE:TARGET` or `SOURCE:TARGET:ro,nocopy`. */
function shortVolume(text: string): Volume {
  const [first = '', second, third] = text.split(':');
  if (first === '' || text.split(':').length > 3)
    throw stackProblem(`invalid spec: ${text}: empty section between colons`);
  if (second === undefined) return { type: 'volume', source: '', target: first, readOnly: false };
  const options = third === undefined ? [] : third.split(',');
  return {
    type: /^[./~]/.test(first) ? 'bind' : 'volume',
    source: first,
    target: second,
    readOnly: options.includes('ro'),
    propagation: options.find((option) => PROPAGATIONS.has(option)),
    nocopy: options.includes('nocopy') || undefined,
  };
}

function bindMount(scope: Scope, volume: Volume): MountSpec {
  if (volume.source === '') throw stackProblem('invalid bind source, source cannot be empty');
  return compact({
    Type: 'bind',
    Source: absolutePath(scope, volume.source),
    Target: volume.target,
    ReadOnly: volume.readOnly || undefined,
    BindOptions: volume.propagation === undefined ? undefined : { Propagation: volume.propagation },
  });
}

function volumeMount(scope: Scope, volume: Volume): MountSpec {
  const base = compact({
    Type: 'volume',
    Target: volume.target,
    ReadOnly: volume.readOnly || undefined,
  });
  if (volume.source === '') return base;
  const declared = asMap(scope.file['volumes']);
  if (!(volume.source in declared)) throw stackProblem(`undefined volume "${volume.source}"`);
  const object = asMap(declared[volume.source]);
  const own = compact({ NoCopy: volume.nocopy || undefined, Subpath: volume.subpath });
  const source = objectName(scope, volume.source, object);
  if (isExternal(object)) return { ...base, Source: source, VolumeOptions: own };
  const driver = asText(object['driver']);
  const options = asTextMap(object['driver_opts']);
  const hasDriver = driver !== '' || Object.keys(options).length > 0;
  return {
    ...base,
    Source: source,
    VolumeOptions: compact({
      ...own,
      Labels: stackLabels(scope, object['labels']),
      DriverConfig: hasDriver
        ? compact({
            Name: driver || undefined,
            Options: Object.keys(options).length > 0 ? options : undefined,
          })
        : undefined,
    }),
  };
}

/** A volume of the cluster, made before with `docker volume create`; of a group any. */
function clusterMount(scope: Scope, { source, target, readOnly }: Volume): MountSpec {
  const mount = { Type: 'cluster', Target: target, ...(readOnly && { ReadOnly: true }) };
  if (source.startsWith('group:')) return { ...mount, Source: source };
  const declared = asMap(scope.file['volumes']);
  if (!(source in declared)) throw stackProblem(`undefined volume "${source}"`);
  return { ...mount, Source: objectName(scope, source, asMap(declared[source])) };
}

/** Relative to the stack file's folder, `~` is the home folder. */
function absolutePath(scope: Scope, path: string): string {
  if (path.startsWith('~')) return normalise(`${scope.home}${path.slice(1)}`);
  return path.startsWith('/') ? path : normalise(`${scope.folder}/${path}`);
}

function normalise(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}
