import type { ContainerSpec, HealthSpec } from '../model/index.ts';
import { convertMount } from './convert-mounts.ts';
import type { Variables } from './interpolate.ts';
import {
  asList,
  asMap,
  asPairs,
  asText,
  asTextMap,
  isMap,
  stackProblem,
  type YamlMap,
} from './problem.ts';
import { compact, isExternal, objectName, type Scope, sorted, stackLabels } from './scope.ts';
import { durationNanos, shellWords, truth, wholeNumber } from './units.ts';

export interface ContainerContext {
  readonly scope: Scope;
  readonly variables: Variables;
  /** Text of an env_file. */
  readonly readText: (path: string) => string;
}

const FILE_MODE_DEFAULT = 0o444;

/** The ContainerSpec of one service; secrets and configs carry names, ids are filled in when they exist. */
export function convertContainer(service: YamlMap, context: ContainerContext): ContainerSpec {
  const flag = (key: string): boolean | undefined =>
    service[key] === undefined || service[key] === null ? undefined : truth(service[key], key);
  const text = (key: string): string | undefined => asText(service[key]) || undefined;
  const grace = service['stop_grace_period'];
  const capabilities = convertCapabilities(service);
  const score = service['oom_score_adj'];
  return compact({
    Image: taggedImage(asText(service['image'])),
    Labels: stackLabels(context.scope, service['labels']),
    Command: words(service['entrypoint']),
    Args: words(service['command']),
    Hostname: text('hostname'),
    Env: environment(service, context),
    Dir: text('working_dir'),
    User: text('user'),
    Privileges: { CredentialSpec: null, SELinuxContext: null, NoNewPrivileges: false },
    Init: flag('init'),
    StopSignal: text('stop_signal'),
    TTY: flag('tty') || undefined,
    OpenStdin: flag('stdin_open') || undefined,
    ReadOnly: flag('read_only') || undefined,
    Mounts: nonEmpty(asList(service['volumes']).map((entry) => convertMount(context.scope, entry))),
    StopGracePeriod: grace === undefined ? undefined : durationNanos(grace, 'stop_grace_period'),
    Healthcheck: isMap(service['healthcheck']) ? convertHealth(service['healthcheck']) : undefined,
    Hosts: nonEmpty(asPairsOfHosts(service['extra_hosts'])),
    DNSConfig: convertDns(service),
    Secrets: convertReferences(service, 'secret', context.scope)?.map(({ name, file }) => ({
      File: file,
      SecretID: '',
      SecretName: name,
    })),
    Configs: convertReferences(service, 'config', context.scope)?.map(({ name, file }) => ({
      File: file,
      ConfigID: '',
      ConfigName: name,
    })),
    Isolation: text('isolation'),
    Sysctls: service['sysctls'] ? sorted(asTextMap(service['sysctls'])) : undefined,
    ...capabilities,
    Ulimits: nonEmpty(convertUlimits(service['ulimits'])),
    OomScoreAdj: score === undefined ? undefined : wholeNumber(score, 'oom_score_adj') || undefined,
  });
}

/** A name without tag or digest means `latest`. */
function taggedImage(image: string): string {
  if (image.includes('@') || /:[^/]+$/.test(image)) return image;
  return `${image}:latest`;
}

function words(value: unknown): readonly string[] | undefined {
  if (value === undefined || value === null) return undefined;
  const list = typeof value === 'string' ? shellWords(value) : asList(value).map(asText);
  return nonEmpty(list);
}

/** `env_file` first, `environment` over it; a name without a value takes ctl's own. */
function environment(
  service: YamlMap,
  { variables, readText }: ContainerContext,
): readonly string[] | undefined {
  const values = new Map<string, string | null>();
  for (const path of asList(service['env_file']).map(asText)) {
    for (const line of readText(path).split(/\r?\n/)) {
      const entry = line.trimStart();
      if (entry !== '' && !entry.startsWith('#'))
        for (const [key, value] of asPairs([entry])) values.set(key, value);
    }
  }
  for (const [key, value] of asPairs(service['environment'])) values.set(key, value);
  const entries = [...values].map(([key, value]) => {
    const given = value ?? variables[key];
    return given === undefined ? key : `${key}=${given}`;
  });
  return nonEmpty(entries.toSorted());
}

function convertHealth(health: YamlMap): HealthSpec {
  if (health['disable'] !== undefined && truth(health['disable'], 'healthcheck.disable')) {
    if (health['test'] !== undefined && asList(health['test'])[0] !== 'NONE') {
      throw stackProblem("test and disable can't be set at the same time");
    }
    return { Test: ['NONE'] };
  }
  const test = health['test'];
  const duration = (key: string): number | undefined =>
    health[key] === undefined ? undefined : durationNanos(health[key], `healthcheck.${key}`);
  return compact({
    Test: typeof test === 'string' ? ['CMD-SHELL', test] : nonEmpty(asList(test).map(asText)),
    Interval: duration('interval'),
    Timeout: duration('timeout'),
    StartPeriod: duration('start_period'),
    StartInterval: duration('start_interval'),
    Retries:
      health['retries'] === undefined
        ? undefined
        : wholeNumber(health['retries'], 'healthcheck.retries'),
  });
}

/** `{name: ip}` or `[name:ip]` as `ip name` lines. */
function asPairsOfHosts(value: unknown): readonly string[] {
  const pairs = isMap(value)
    ? Object.entries(value).map(([name, address]): [string, string] => [name, asText(address)])
    : asList(value).map((entry): [string, string] => {
        const text = asText(entry);
        const at = text.indexOf(':');
        return [text.slice(0, at), text.slice(at + 1)];
      });
  return pairs.map(([name, address]) => `${address} ${name}`);
}

function convertDns(service: YamlMap): ContainerSpec['DNSConfig'] {
  const servers = asList(service['dns']).map(asText);
  const search = asList(service['dns_search']).map(asText);
  if (servers.length + search.length === 0) return undefined;
  return compact({ Nameservers: nonEmpty(servers), Search: nonEmpty(search) });
}

interface Reference {
  readonly name: string;
  readonly file: {
    readonly Name: string;
    readonly UID: string;
    readonly GID: string;
    readonly Mode: number;
  };
}

function convertReferences(
  service: YamlMap,
  kind: 'secret' | 'config',
  scope: Scope,
): readonly Reference[] | undefined {
  const declared = asMap(scope.file[`${kind}s`]);
  const references = asList(service[`${kind}s`]).map((entry): Reference => {
    const long = isMap(entry) ? entry : { source: entry };
    const source = asText(long['source']);
    if (!(source in declared)) throw stackProblem(`undefined ${kind} "${source}"`);
    const object = asMap(declared[source]);
    const mode = long['mode'];
    return {
      name: isExternal(object)
        ? objectName(scope, source, object)
        : objectName(scope, source, object),
      file: {
        Name: asText(long['target']) || source,
        UID: asText(long['uid']) || '0',
        GID: asText(long['gid']) || '0',
        Mode: mode === undefined ? FILE_MODE_DEFAULT : wholeNumber(mode, `${kind}s.mode`),
      },
    };
  });
  return nonEmpty(references);
}

/** What is dropped wins over what is added; `ALL` stands alone. */
function convertCapabilities(
  service: YamlMap,
): Pick<ContainerSpec, 'CapabilityAdd' | 'CapabilityDrop'> {
  const names = (key: string): readonly string[] =>
    [...new Set(asList(service[key]).map((name) => capability(asText(name))))].toSorted();
  const drop = names('cap_drop');
  const added = names('cap_add').filter((name) => !drop.includes(name));
  return compact({
    CapabilityAdd: nonEmpty(added.includes('ALL') ? ['ALL'] : added),
    CapabilityDrop: nonEmpty(drop.includes('ALL') ? ['ALL'] : drop),
  });
}

function capability(name: string): string {
  const upper = name.trim().toUpperCase();
  return upper === 'ALL' || upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
}

function convertUlimits(value: unknown): NonNullable<ContainerSpec['Ulimits']> {
  return Object.entries(sorted(asMap(value))).map(([name, limit]) => {
    const both = isMap(limit) ? limit : { soft: limit, hard: limit };
    return {
      Name: name,
      Soft: wholeNumber(both['soft'], `ulimits.${name}`),
      Hard: wholeNumber(both['hard'], `ulimits.${name}`),
    };
  });
}

function nonEmpty<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length > 0 ? list : undefined;
}
