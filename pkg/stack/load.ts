import type { ConfigSpec, NetworkSpec, SecretSpec, ServiceSpec } from '../model/index.ts';
import {
  convertConfigs,
  convertNetworks,
  convertSecrets,
  type External,
} from './convert-objects.ts';
import { convertService } from './convert-service.ts';
import type { Variables } from './interpolate.ts';
import { mergeFiles } from './merge.ts';
import { parseStackFile, type StackFile } from './parse.ts';
import { asMap, stackProblem } from './problem.ts';
import type { Scope } from './scope.ts';

export interface LoadOptions {
  /** The stack's name: prefix of everything it makes. */
  readonly name: string;
  /** In order; a later file wins over an earlier one. */
  readonly files: readonly StackFile[];
  readonly variables: Variables;
  /** Absolute: relative paths of the file start here. */
  readonly folder: string;
  readonly home: string;
  /** Text of an env_file. Throws when it cannot be read. */
  readonly readText: (path: string) => string;
  /** Content of a secret or config file in base64. Throws when it cannot be read. */
  readonly readBase64: (path: string) => string;
}

/** Everything a stack consists of, by name and in the order it is made. */
export interface Stack {
  readonly networks: readonly NetworkSpec[];
  readonly secrets: readonly SecretSpec[];
  readonly configs: readonly ConfigSpec[];
  readonly services: readonly ServiceSpec[];
  /** Must exist already. */
  readonly externals: readonly External[];
  /** What was left out and what looks wrong, one line each. */
  readonly warnings: readonly string[];
}

const UNSUPPORTED = [
  'build',
  'cgroupns_mode',
  'cgroup_parent',
  'devices',
  'domainname',
  'external_links',
  'ipc',
  'links',
  'mac_address',
  'network_mode',
  'pid',
  'privileged',
  'restart',
  'security_opt',
  'shm_size',
  'tmpfs',
  'userns_mode',
] as const;

const DEPRECATED: Readonly<Record<string, string>> = {
  container_name: 'Setting the container name is not supported.',
  expose:
    "Exposing ports is unnecessary - services on the same network can access each other's containers on any port.",
};

/**
 * Compose files (format 3) as the specs of a stack. Pure: files are read through the given functions.
 * @throws ClusterError invalid, with file and line where they are known
 */
export function loadStack(options: LoadOptions): Stack {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_-]*$/.test(options.name)) {
    throw stackProblem(
      `invalid stack name: "${options.name}"; letters, digits, - and _ are allowed`,
    );
  }
  const file = mergeFiles(options.files.map((each) => parseStackFile(each, options.variables)));
  const services = asMap(file['services']);
  const scope: Scope = { stack: options.name, file, folder: options.folder, home: options.home };
  const warnings = leftOut(services);
  const networks = convertNetworks(scope);
  const secrets = convertSecrets(scope, options.readBase64);
  const configs = convertConfigs(scope, options.readBase64);
  const context = {
    scope,
    variables: options.variables,
    readText: options.readText,
    warn: (text: string): void => void warnings.push(text),
  };
  return {
    networks: networks.specs,
    secrets: secrets.specs,
    configs: configs.specs,
    services: Object.keys(services)
      .toSorted()
      .map((key) => convertService(key, asMap(services[key]), context)),
    externals: [...networks.externals, ...secrets.externals, ...configs.externals],
    warnings,
  };
}

function leftOut(services: Readonly<Record<string, unknown>>): string[] {
  const used = new Set(Object.values(services).flatMap((service) => Object.keys(asMap(service))));
  const unsupported = UNSUPPORTED.filter((key) => used.has(key));
  const deprecated = Object.entries(DEPRECATED).filter(([key]) => used.has(key));
  return [
    ...(unsupported.length > 0 ? [`Ignoring unsupported options: ${unsupported.join(', ')}`] : []),
    ...deprecated.map(([key, advice]) => `${key}: ${advice}`),
  ];
}
