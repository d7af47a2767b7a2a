import type { Command } from 'commander';
import type { Context } from './context.ts';
import { printPlan } from './plan-text.ts';
import { waitConverged } from './progress.ts';
import {
  container,
  endpoint,
  environmentEntry,
  type Flag,
  oneOf,
  placement,
  readEnvironmentFile,
  reserveGeneric,
  SCALAR_FLAGS,
  type SpecDraft,
  SWITCH_FLAGS,
  task,
  toMap,
} from './service-flags.ts';
import {
  configReferences,
  parseMount,
  parseNetwork,
  parsePorts,
  secretReferences,
} from './service-parts.ts';

export type Options = Readonly<Record<string, unknown>>;

/** Gathers a flag given several times. */
export const collect = (value: string, sofar: readonly string[] | undefined): string[] => [
  ...(sofar ?? []),
  value,
];

export function texts(options: Options, key: string): readonly string[] {
  return (options[key] as readonly string[] | undefined) ?? [];
}

/** `--update-delay` as commander names it in its options object. */
export function optionKey(flag: Flag): string {
  const name = flagName(flag).replace(/^no-/, '');
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

export function flagName(flag: Flag): string {
  return /--([a-z-]+)/.exec(flag.flags)?.[1] ?? '';
}

export function addScalarFlags(command: Command): Command {
  for (const flag of SCALAR_FLAGS) command.option(flag.flags, flag.text);
  for (const flag of SWITCH_FLAGS) command.option(flag.flags, flag.text);
  return command;
}

/** Everything of SCALAR_FLAGS and SWITCH_FLAGS that was given, put into the spec. */
export function applyScalarFlags(spec: SpecDraft, options: Options): void {
  for (const flag of SCALAR_FLAGS) {
    const value = options[optionKey(flag)];
    if (value !== undefined) flag.apply(spec, String(value), flagName(flag));
  }
  for (const flag of SWITCH_FLAGS) {
    const value = options[optionKey(flag)];
    if (flagName(flag).startsWith('no-') ? value === false : value === true)
      flag.apply(spec, '', flagName(flag));
  }
}

/** Adds `service create` to its noun. */
export function addCreate(service: Command, context: () => Context): void {
  const command = service
    .command('create <image> [command] [args...]')
    .description('Create a service and wait until it runs')
    .passThroughOptions()
    .option('--name <name>', 'name of the service')
    .option('--mode <mode>', 'replicated, global, replicated-job or global-job', 'replicated')
    .option('--max-concurrent <count>', 'tasks of a job that may run at once')
    .option('--network <network>', 'network to join, NAME or name=NAME,alias=ALIAS', collect)
    .option(
      '-p, --publish <port>',
      'port to publish on every node, 8080:80 or published=8080,target=80,mode=host',
      collect,
    )
    .option('-e, --env <key=value>', 'environment variable', collect)
    .option('--env-file <file>', 'file of environment variables', collect)
    .option('-l, --label <key=value>', 'label of the service', collect)
    .option('--container-label <key=value>', 'label of its containers', collect)
    .option('--mount <fields>', 'type=volume|bind|tmpfs,source=…,target=…[,readonly]', collect)
    .option('--constraint <expression>', 'where tasks may run, node.labels.zone==a', collect)
    .option('--placement-pref <preference>', 'spread=node.labels.zone', collect)
    .option('--generic-resource <kind=number>', 'generic resource to reserve, gpu=2', collect)
    .option('--secret <secret>', 'secret to mount, NAME or source=…,target=…,mode=0400', collect)
    .option('--config <config>', 'config to mount, NAME or source=…,target=…', collect)
    .option('--dns <address>', 'name server', collect)
    .option('--dns-search <domain>', 'search domain', collect)
    .option('--host <name:address>', 'line for /etc/hosts', collect)
    .option('--cap-add <capability>', 'capability to add', collect)
    .option('--cap-drop <capability>', 'capability to drop', collect)
    .option('--sysctl <key=value>', 'kernel parameter of the containers', collect)
    .option('--dry-run', 'make nothing: show where tasks would start, and what would not fit')
    .option('--format <format>', 'of --dry-run; json: everything that is known')
    .option('-d, --detach', 'return at once')
    .option('-q, --quiet', 'show no progress');
  addScalarFlags(command);
  command.action(
    async (image: string, program: string | undefined, args: string[], options: Options) => {
      const { client, output, environment } = context();
      const spec = buildSpec(image, options, environment.variables);
      if (program !== undefined) container(spec).Args = [program, ...args];
      const secrets = await secretReferences(client, texts(options, 'secret'));
      const configs = await configReferences(client, texts(options, 'config'));
      if (secrets.length > 0) container(spec).Secrets = secrets;
      if (configs.length > 0) container(spec).Configs = configs;
      if (options['dryRun']) {
        await printPlan(context(), { path: '/services/create', spec, query: {}, options });
        return;
      }
      const created = await client.post<{ ID: string; Warnings?: string[] | null }>(
        '/services/create',
        spec,
      );
      for (const warning of created.Warnings ?? []) output.error(`warning: ${warning}`);
      output.line(created.ID);
      if (!options['detach'])
        await waitConverged(client, created.ID, { output, quiet: options['quiet'] === true });
    },
  );
}

function buildSpec(
  image: string,
  options: Options,
  variables: Readonly<Record<string, string | undefined>>,
): SpecDraft {
  const spec: SpecDraft = { Labels: toMap(texts(options, 'label')) };
  if (options['name'] !== undefined) spec.Name = String(options['name']);
  container(spec).Image = image;
  setMode(spec, options);
  applyScalarFlags(spec, options);
  setContainerLists(spec, options, variables);
  const networks = texts(options, 'network').map(parseNetwork);
  if (networks.length > 0) task(spec).Networks = networks;
  const ports = texts(options, 'publish').flatMap(parsePorts);
  if (ports.length > 0) endpoint(spec).Ports = ports;
  const constraints = texts(options, 'constraint');
  if (constraints.length > 0) placement(spec).Constraints = [...constraints];
  for (const pair of texts(options, 'genericResource')) reserveGeneric(spec, pair);
  const preferences = texts(options, 'placementPref');
  if (preferences.length > 0) placement(spec).Preferences = preferences.map(parsePreference);
  return spec;
}

export function parsePreference(text: string): { Spread: { SpreadDescriptor: string } } {
  return { Spread: { SpreadDescriptor: text.replace(/^spread=/, '') } };
}

function setMode(spec: SpecDraft, options: Options): void {
  const mode = oneOf(String(options['mode']), 'mode', [
    'replicated',
    'global',
    'replicated-job',
    'global-job',
  ]);
  if (mode === 'global') spec.Mode = { Global: {} };
  if (mode === 'global-job') spec.Mode = { GlobalJob: {} };
  if (mode === 'replicated') spec.Mode = { Replicated: { Replicas: 1 } };
  if (mode === 'replicated-job') {
    const concurrent = Number(options['maxConcurrent'] ?? options['replicas'] ?? 1);
    spec.Mode = { ReplicatedJob: { MaxConcurrent: concurrent, TotalCompletions: 1 } };
  }
}

function setContainerLists(
  spec: SpecDraft,
  options: Options,
  variables: Readonly<Record<string, string | undefined>>,
): void {
  const part = container(spec);
  const files = texts(options, 'envFile').flatMap((file) => readEnvironmentFile(file, variables));
  const env = [
    ...files,
    ...texts(options, 'env').map((entry) => environmentEntry(entry, variables)),
  ];
  if (env.length > 0) part.Env = env;
  if (texts(options, 'containerLabel').length > 0)
    part.Labels = toMap(texts(options, 'containerLabel'));
  if (texts(options, 'mount').length > 0) part.Mounts = texts(options, 'mount').map(parseMount);
  if (texts(options, 'capAdd').length > 0)
    part.CapabilityAdd = texts(options, 'capAdd').map(capability);
  if (texts(options, 'capDrop').length > 0)
    part.CapabilityDrop = texts(options, 'capDrop').map(capability);
  if (texts(options, 'sysctl').length > 0) part.Sysctls = toMap(texts(options, 'sysctl'));
  if (texts(options, 'host').length > 0) part.Hosts = texts(options, 'host').map(hostLine);
  const dns = { Nameservers: [...texts(options, 'dns')], Search: [...texts(options, 'dnsSearch')] };
  if (dns.Nameservers.length + dns.Search.length > 0) part.DNSConfig = dns;
}

function capability(name: string): string {
  const upper = name.toUpperCase();
  return upper === 'ALL' || upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
}

function hostLine(text: string): string {
  const at = text.indexOf(':');
  return `${text.slice(at + 1)} ${text.slice(0, at)}`;
}
