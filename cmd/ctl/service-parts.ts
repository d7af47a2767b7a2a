import type { ServiceSpec } from '../../pkg/model/index.ts';
import { type Client, filters } from './client.ts';
import { Failure } from './failure.ts';
import type { Draft } from './service-flags.ts';
import { parseBytes, parseCount, parseFields } from './units.ts';

type Endpoint = NonNullable<ServiceSpec['EndpointSpec']>;
type Template = NonNullable<ServiceSpec['TaskTemplate']>;
type Container = NonNullable<Template['ContainerSpec']>;
export type Port = Draft<NonNullable<Endpoint['Ports']>[number]>;
export type Mount = Draft<NonNullable<Container['Mounts']>[number]>;
export type NetworkTarget = Draft<NonNullable<Template['Networks']>[number]>;
type SecretReference = Draft<NonNullable<Container['Secrets']>[number]>;
type ConfigReference = Draft<NonNullable<Container['Configs']>[number]>;

/** `8080:80/udp`, `80`, or `published=8080,target=80,protocol=tcp,mode=host`. Ranges give several ports. */
export function parsePorts(text: string): Port[] {
  if (text.includes('=')) return [longPort(text)];
  const match = /^(?:(\d+)(?:-(\d+))?:)?(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/.exec(text);
  if (!match)
    throw new Failure(
      `invalid port ${text}: say [PUBLISHED:]TARGET[/tcp|udp|sctp] or published=8080,target=80`,
    );
  const [, from, to, target, targetTo, protocol = 'tcp'] = match;
  const count = Number(targetTo ?? target) - Number(target) + 1;
  const published = from === undefined ? undefined : Number(from);
  if (published !== undefined && to !== undefined && Number(to) - published + 1 !== count) {
    throw new Failure(`invalid port ${text}: the ranges differ in length`);
  }
  return Array.from({ length: count }, (_, at) => ({
    Protocol: protocol,
    TargetPort: checkedPort(Number(target) + at, text),
    ...(published === undefined ? {} : { PublishedPort: checkedPort(published + at, text) }),
    PublishMode: 'ingress',
  }));
}

function longPort(text: string): Port {
  const fields = parseFields(text);
  const known = ['published', 'target', 'protocol', 'mode'];
  const unknown = [...fields.keys()].find((key) => !known.includes(key));
  if (unknown !== undefined)
    throw new Failure(`invalid field ${unknown} in port ${text}: say ${known.join(', ')}`);
  const target = fields.get('target');
  if (target === undefined) throw new Failure(`invalid port ${text}: target is missing`);
  const published = fields.get('published');
  return {
    Protocol: fields.get('protocol') ?? 'tcp',
    TargetPort: checkedPort(Number(target), text),
    ...(published === undefined ? {} : { PublishedPort: checkedPort(Number(published), text) }),
    PublishMode: fields.get('mode') ?? 'ingress',
  };
}

function checkedPort(port: number, text: string): number {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new Failure(`invalid port ${text}: ports are 1 to 65535`);
}

/** `type=volume,source=data,target=/data,readonly` as docker writes mounts. */
export function parseMount(text: string): Mount {
  const fields = parseFields(text);
  const get = (...keys: readonly string[]): string | undefined => {
    for (const key of keys) if (fields.has(key)) return fields.get(key);
    return undefined;
  };
  const flag = (...keys: readonly string[]): boolean => {
    const value = get(...keys);
    return value !== undefined && value !== 'false' && value !== '0';
  };
  const target = get('target', 'destination', 'dst');
  if (!target) throw new Failure(`invalid mount ${text}: target is required`);
  const type = get('type') ?? 'volume';
  const source = get('source', 'src');
  const mount: Mount = { Type: type, Target: target, ...(source ? { Source: source } : {}) };
  if (flag('readonly', 'ro')) mount.ReadOnly = true;
  const propagation = get('bind-propagation');
  if (propagation) mount.BindOptions = { Propagation: propagation };
  if (flag('volume-nocopy')) mount.VolumeOptions = { NoCopy: true };
  const size = get('tmpfs-size');
  const mode = get('tmpfs-mode');
  if (size || mode) {
    mount.TmpfsOptions = {
      ...(size ? { SizeBytes: parseBytes(size, 'mount') } : {}),
      ...(mode ? { Mode: Number.parseInt(mode, 8) } : {}),
    };
  }
  return mount;
}

/** `app`, or `name=app,alias=web,alias=www`. */
export function parseNetwork(text: string): NetworkTarget {
  if (!text.includes('=')) return { Target: text };
  const parts = text.split(',').map((part) => part.split(/=(.*)/s));
  const name = parts.find(([key]) => key === 'name')?.[1];
  if (!name) throw new Failure(`invalid network ${text}: name is missing`);
  const aliases = parts.flatMap(([key, value]) => (key === 'alias' && value ? [value] : []));
  return { Target: name, ...(aliases.length > 0 ? { Aliases: aliases } : {}) };
}

interface FileWish {
  readonly source: string;
  readonly target: string;
  readonly uid: string;
  readonly gid: string;
  readonly mode: number;
}

const FILE_MODE_DEFAULT = 0o444;

function parseFile(text: string, defaultTarget: (source: string) => string): FileWish {
  if (!text.includes('=')) {
    return {
      source: text,
      target: defaultTarget(text),
      uid: '0',
      gid: '0',
      mode: FILE_MODE_DEFAULT,
    };
  }
  const fields = parseFields(text);
  const source = fields.get('source') ?? fields.get('src');
  if (!source) throw new Failure(`invalid reference ${text}: source is required`);
  const mode = fields.get('mode');
  return {
    source,
    target: fields.get('target') ?? defaultTarget(source),
    uid: fields.get('uid') ?? '0',
    gid: fields.get('gid') ?? '0',
    mode:
      mode === undefined ? FILE_MODE_DEFAULT : parseCount(String(Number.parseInt(mode, 8)), 'mode'),
  };
}

export async function secretReferences(
  client: Client,
  texts: readonly string[],
): Promise<SecretReference[]> {
  const wishes = texts.map((text) => parseFile(text, (source) => source));
  const ids = await idsByName(
    client,
    'secret',
    wishes.map((wish) => wish.source),
  );
  return wishes.map((wish) => ({
    SecretID: ids.get(wish.source) ?? '',
    SecretName: wish.source,
    File: { Name: wish.target, UID: wish.uid, GID: wish.gid, Mode: wish.mode },
  }));
}

export async function configReferences(
  client: Client,
  texts: readonly string[],
): Promise<ConfigReference[]> {
  const wishes = texts.map((text) => parseFile(text, (source) => `/${source}`));
  const ids = await idsByName(
    client,
    'config',
    wishes.map((wish) => wish.source),
  );
  return wishes.map((wish) => ({
    ConfigID: ids.get(wish.source) ?? '',
    ConfigName: wish.source,
    File: { Name: wish.target, UID: wish.uid, GID: wish.gid, Mode: wish.mode },
  }));
}

async function idsByName(
  client: Client,
  kind: 'secret' | 'config',
  names: readonly string[],
): Promise<Map<string, string>> {
  if (names.length === 0) return new Map();
  const found = await client.get<{ ID: string; Spec: { Name: string } }[]>(`/${kind}s`, {
    filters: filters({ name: names }),
  });
  const ids = new Map(found.map((object) => [object.Spec.Name, object.ID]));
  const missing = names.find((name) => !ids.has(name));
  if (missing !== undefined)
    throw new Failure(
      `${kind} not found: ${missing}; create it first: ctl ${kind} create ${missing} FILE`,
    );
  return ids;
}
