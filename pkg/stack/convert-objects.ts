import type { ConfigSpec, NetworkSpec, SecretSpec } from '../model/index.ts';
import { asList, asMap, asText, asTextMap, stackProblem, type YamlMap } from './problem.ts';
import { compact, isExternal, objectName, type Scope, stackLabels } from './scope.ts';

/** What a stack needs and does not make. */
export interface External {
  readonly kind: 'network' | 'secret' | 'config';
  readonly name: string;
}

/** Reads a file that the stack names, relative to the stack file, as base64. */
export type ReadFile = (path: string) => string;

/** Networks that services use: those of the file, and `default` when a service names none. */
export function convertNetworks(scope: Scope): {
  readonly specs: readonly NetworkSpec[];
  readonly externals: readonly External[];
} {
  const declared = asMap(scope.file['networks']);
  const used = new Set(
    Object.values(asMap(scope.file['services'])).flatMap((service) => networkKeys(asMap(service))),
  );
  const specs: NetworkSpec[] = [];
  const externals: External[] = [];
  for (const key of [...new Set([...Object.keys(declared), ...used])].toSorted()) {
    if (!(key in declared) && key !== 'default') throw stackProblem(`undefined network "${key}"`);
    const network = asMap(declared[key]);
    if (!used.has(key)) continue;
    const name = objectName(scope, key, network);
    if (isExternal(network)) externals.push({ kind: 'network', name });
    else specs.push(networkSpec(scope, name, network));
  }
  return { specs, externals };
}

/** Keys of the networks a service joins. */
export function networkKeys(service: YamlMap): readonly string[] {
  const networks = service['networks'];
  if (networks === undefined || networks === null) return ['default'];
  const keys = Array.isArray(networks) ? networks.map(asText) : Object.keys(asMap(networks));
  return keys.length === 0 ? ['default'] : keys;
}

function isTrue(value: unknown): boolean {
  return value === true || value === 'true';
}

function networkSpec(scope: Scope, name: string, network: YamlMap): NetworkSpec {
  const ipam = asMap(network['ipam']);
  const config = asList(ipam['config']).map((entry) =>
    compact({ Subnet: asText(asMap(entry)['subnet']) || undefined }),
  );
  const options = network['driver_opts'];
  return {
    Name: name,
    Driver: asText(network['driver']) || 'overlay',
    Internal: isTrue(network['internal']),
    Attachable: isTrue(network['attachable']),
    ...(isTrue(network['enable_ipv6']) && { EnableIPv6: true }),
    IPAM: network['ipam'] ? { Driver: asText(ipam['driver']) || 'default', Config: config } : null,
    Options: options ? asTextMap(options) : null,
    Labels: stackLabels(scope, network['labels']),
  };
}

export function convertSecrets(
  scope: Scope,
  readFile: ReadFile,
): { readonly specs: readonly SecretSpec[]; readonly externals: readonly External[] } {
  const { specs, externals } = convertFileObjects(scope, 'secret', readFile);
  return { specs, externals };
}

export function convertConfigs(
  scope: Scope,
  readFile: ReadFile,
): { readonly specs: readonly ConfigSpec[]; readonly externals: readonly External[] } {
  return convertFileObjects(scope, 'config', readFile);
}

function convertFileObjects(
  scope: Scope,
  kind: 'secret' | 'config',
  readFile: ReadFile,
): { readonly specs: readonly SecretSpec[]; readonly externals: readonly External[] } {
  const specs: SecretSpec[] = [];
  const externals: External[] = [];
  for (const [key, value] of Object.entries(asMap(scope.file[`${kind}s`])).toSorted(
    ([left], [right]) => (left < right ? -1 : 1),
  )) {
    const object = asMap(value);
    const name = objectName(scope, key, object);
    if (isExternal(object)) {
      externals.push({ kind, name });
      continue;
    }
    const driver = asText(object['driver']);
    const template = asText(object['template_driver']);
    const file = asText(object['file']);
    if (driver === '' && file === '')
      throw stackProblem(`${kind}s.${key}: say file, external or driver`);
    specs.push(
      compact({
        Name: name,
        Labels: stackLabels(scope, object['labels']),
        Data: driver === '' ? readFile(file) : undefined,
        Driver:
          driver === '' ? undefined : { Name: driver, Options: asTextMap(object['driver_opts']) },
        Templating: template === '' ? undefined : { Name: template },
      }),
    );
  }
  return { specs, externals };
}
