import type { Command } from 'commander';
import type { Context } from './context.ts';
import { Failure } from './failure.ts';
import { printPlan } from './plan-text.ts';
import { waitConverged } from './progress.ts';
import {
  addScalarFlags,
  applyScalarFlags,
  collect,
  type Options,
  parsePreference,
  texts,
} from './service-create.ts';
import {
  container,
  endpoint,
  environmentEntry,
  placement,
  releaseGeneric,
  reserveGeneric,
  type SpecDraft,
  splitWords,
  task,
} from './service-flags.ts';
import {
  configReferences,
  parseMount,
  parseNetwork,
  parsePorts,
  secretReferences,
} from './service-parts.ts';
import { parsePair } from './units.ts';

interface ServiceObject {
  readonly ID: string;
  readonly Version: { readonly Index: number };
  readonly Spec: SpecDraft;
}

/** A flag pair `--X-add` and `--X-rm`: how entries of the spec are added and taken out. */
interface ListFlag {
  readonly name: string;
  readonly text: string;
  readonly add: (spec: SpecDraft, value: string) => void;
  readonly remove: (spec: SpecDraft, value: string) => void;
}

const LIST_FLAGS: readonly ListFlag[] = [
  {
    name: 'env',
    text: 'environment variable',
    add: (spec, value) => {
      const env = without(
        container(spec).Env,
        (entry) => parsePair(entry)[0] === parsePair(value)[0],
      );
      container(spec).Env = [...env, value];
    },
    remove: (spec, value) => {
      container(spec).Env = without(container(spec).Env, (entry) => parsePair(entry)[0] === value);
    },
  },
  {
    name: 'label',
    text: 'label of the service',
    add: (spec, value) => {
      spec.Labels = { ...spec.Labels, ...Object.fromEntries([parsePair(value)]) };
    },
    remove: (spec, value) => {
      spec.Labels = dropKey(spec.Labels, value);
    },
  },
  {
    name: 'container-label',
    text: 'label of its containers',
    add: (spec, value) => {
      container(spec).Labels = {
        ...container(spec).Labels,
        ...Object.fromEntries([parsePair(value)]),
      };
    },
    remove: (spec, value) => {
      container(spec).Labels = dropKey(container(spec).Labels, value);
    },
  },
  {
    name: 'constraint',
    text: 'placement constraint',
    add: (spec, value) => {
      placement(spec).Constraints = [
        ...without(placement(spec).Constraints, (entry) => entry === value),
        value,
      ];
    },
    remove: (spec, value) => {
      placement(spec).Constraints = without(
        placement(spec).Constraints,
        (entry) => entry === value,
      );
    },
  },
  {
    name: 'placement-pref',
    text: 'placement preference',
    add: (spec, value) => {
      placement(spec).Preferences = [
        ...(placement(spec).Preferences ?? []),
        parsePreference(value),
      ];
    },
    remove: (spec, value) => {
      const wanted = parsePreference(value).Spread.SpreadDescriptor;
      placement(spec).Preferences = without(
        placement(spec).Preferences,
        (entry) => entry.Spread?.SpreadDescriptor === wanted,
      );
    },
  },
  {
    name: 'generic-resource',
    text: 'generic resource to reserve',
    add: reserveGeneric,
    remove: releaseGeneric,
  },
  {
    name: 'publish',
    text: 'published port',
    add: (spec, value) => {
      const added = parsePorts(value);
      const kept = without(endpoint(spec).Ports, (port) =>
        added.some((other) => samePort(port, other)),
      );
      endpoint(spec).Ports = [...kept, ...added];
    },
    remove: (spec, value) => {
      const [target, protocol = 'tcp'] = value.split('/');
      const number = Number(target?.split(':').at(-1));
      endpoint(spec).Ports = without(
        endpoint(spec).Ports,
        (port) => port.TargetPort === number && (port.Protocol ?? 'tcp') === protocol,
      );
    },
  },
  {
    name: 'mount',
    text: 'mount',
    add: (spec, value) => {
      const mount = parseMount(value);
      container(spec).Mounts = [
        ...without(container(spec).Mounts, (entry) => entry.Target === mount.Target),
        mount,
      ];
    },
    remove: (spec, value) => {
      container(spec).Mounts = without(container(spec).Mounts, (entry) => entry.Target === value);
    },
  },
  {
    name: 'network',
    text: 'network',
    add: (spec, value) => {
      task(spec).Networks = [...(task(spec).Networks ?? spec.Networks ?? []), parseNetwork(value)];
    },
    remove: (spec, value) => {
      task(spec).Networks = without(
        task(spec).Networks ?? spec.Networks,
        (entry) => entry.Target === value,
      );
    },
  },
];

/** Adds `service update`, `scale` and `rollback` to the noun. */
export function addUpdate(service: Command, context: () => Context): void {
  const command = service
    .command('update <service>')
    .description('Change a service: its tasks are replaced step by step')
    .option('--image <image>', 'image to run')
    .option('--args <words>', 'arguments of the command')
    .option('--force', 'replace the tasks even if nothing changed')
    .option('--rollback', 'go back to the previous spec')
    .option('--dry-run', 'change nothing: show which tasks would stop and start, and when')
    .option('--format <format>', 'of --dry-run; json: everything that is known')
    .option('-d, --detach', 'return at once')
    .option('-q, --quiet', 'show no progress');
  addScalarFlags(command);
  for (const flag of [...LIST_FLAGS.map(({ name, text }) => ({ name, text })), ...REFERENCES]) {
    command.option(`--${flag.name}-add <value>`, `add ${withArticle(flag.text)}`, collect);
    command.option(`--${flag.name}-rm <value>`, `remove ${withArticle(flag.text)}`, collect);
  }
  command.action(async (name: string, options: Options) => await update(context(), name, options));
}

async function update(context: Context, name: string, options: Options): Promise<void> {
  const { client, output } = context;
  const found = await client.get<ServiceObject>(`/services/${encodeURIComponent(name)}`);
  if (options['rollback']) {
    await rollback(context, found, options);
    return;
  }
  const spec = found.Spec;
  if (options['image'] !== undefined) container(spec).Image = String(options['image']);
  if (options['args'] !== undefined) container(spec).Args = splitWords(String(options['args']));
  if (options['force']) task(spec).ForceUpdate = (task(spec).ForceUpdate ?? 0) + 1;
  applyScalarFlags(spec, options);
  applyListFlags(context, spec, options);
  await applyReferences(context, spec, options);
  if (options['dryRun']) {
    const query = { version: found.Version.Index };
    await printPlan(context, { path: `/services/${found.ID}/update`, spec, query, options });
    return;
  }
  await send(context, found, spec);
  output.line(found.ID);
  if (options['detach']) return;
  await waitConverged(client, found.ID, { output, quiet: options['quiet'] === true });
}

function applyListFlags({ environment }: Context, spec: SpecDraft, options: Options): void {
  for (const flag of LIST_FLAGS) {
    for (const value of texts(options, key(`${flag.name}-rm`))) flag.remove(spec, value);
    for (const value of texts(options, key(`${flag.name}-add`))) {
      flag.add(spec, flag.name === 'env' ? environmentEntry(value, environment.variables) : value);
    }
  }
}

/** `service rebalance`: the label by another name, for what people look for. */
export function addRebalance(service: Command, context: () => Context): void {
  service
    .command('rebalance <service...>')
    .description('Move tasks to nodes that came later, one after the other, now and from now on')
    .option('--every <duration>', 'time between two moves', '10s')
    .option('--off', 'let tasks stay where they are again')
    .option('--dry-run', 'change nothing: show which tasks would move, and when')
    .option('--format <format>', 'of --dry-run; json: everything that is known')
    .action(async (names: string[], options: Options) => {
      const change = {
        rebalance: options['off'] ? '0' : options['every'],
        dryRun: options['dryRun'],
        format: options['format'],
        detach: true,
      };
      for (const name of names) await update(context(), name, change);
    });
}

export function addScaleAndRollback(service: Command, context: () => Context): void {
  service
    .command('scale <service=replicas...>')
    .description('Set the number of tasks of one or more services')
    .option('-d, --detach', 'return at once')
    .action(async (wishes: string[], options: Options) => {
      for (const wish of wishes) await scale(context(), wish, options);
    });
  service
    .command('rollback <service>')
    .description('Go back to the previous spec of a service, or to any of the last 20')
    .option('--to <revision>', 'number that ctl service history shows')
    .option('-d, --detach', 'return at once')
    .option('-q, --quiet', 'show no progress')
    .action(async (name: string, options: Options) => {
      const { client } = context();
      await rollback(
        context(),
        await client.get<ServiceObject>(`/services/${encodeURIComponent(name)}`),
        options,
      );
    });
}

async function scale(context: Context, wish: string, options: Options): Promise<void> {
  const { client, output } = context;
  const [name, count] = parsePair(wish);
  if (!wish.includes('=')) throw new Failure(`say how many: ctl service scale ${wish}=3`);
  const found = await client.get<ServiceObject>(`/services/${encodeURIComponent(name)}`);
  applyScalarFlags(found.Spec, { replicas: count });
  await send(context, found, found.Spec);
  output.line(`${name} scaled to ${count}`);
  if (!options['detach']) await waitConverged(client, found.ID, { output, quiet: false });
}

async function rollback(context: Context, found: ServiceObject, options: Options): Promise<void> {
  const { client, output } = context;
  const path = `/services/${found.ID}/update`;
  const target =
    options['to'] === undefined ? { rollback: 'previous' } : { rollbackTo: String(options['to']) };
  const query = { version: found.Version.Index, ...target };
  if (options['dryRun']) {
    await printPlan(context, { path, spec: found.Spec, query, options });
    return;
  }
  await client.post(path, found.Spec, query);
  output.line(found.ID);
  if (options['detach']) return;
  await waitConverged(client, found.ID, {
    output,
    quiet: options['quiet'] === true,
    rollback: true,
  });
}

async function send(context: Context, found: ServiceObject, spec: SpecDraft): Promise<void> {
  const answer = await context.client.post<{ Warnings?: string[] | null } | undefined>(
    `/services/${found.ID}/update`,
    spec,
    {
      version: found.Version.Index,
    },
  );
  for (const warning of answer?.Warnings ?? []) context.output.error(`warning: ${warning}`);
}

const REFERENCES = [
  { name: 'secret', text: 'secret' },
  { name: 'config', text: 'config' },
];

async function applyReferences(context: Context, spec: SpecDraft, options: Options): Promise<void> {
  const { client } = context;
  const part = container(spec);
  const goneSecrets = texts(options, 'secretRm');
  const goneConfigs = texts(options, 'configRm');
  const secrets = await secretReferences(client, texts(options, 'secretAdd'));
  const configs = await configReferences(client, texts(options, 'configAdd'));
  if (secrets.length + goneSecrets.length > 0) {
    part.Secrets = [
      ...without(part.Secrets, (entry) => goneSecrets.includes(entry.SecretName)),
      ...secrets,
    ];
  }
  if (configs.length + goneConfigs.length > 0) {
    part.Configs = [
      ...without(part.Configs, (entry) => goneConfigs.includes(entry.ConfigName)),
      ...configs,
    ];
  }
}

function withArticle(text: string): string {
  return `${/^[aeiou]/.test(text) ? 'an' : 'a'} ${text}`;
}

function key(name: string): string {
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function without<T>(list: readonly T[] | null | undefined, gone: (entry: T) => boolean): T[] {
  return (list ?? []).filter((entry) => !gone(entry));
}

function dropKey(
  map: Record<string, string> | null | undefined,
  name: string,
): Record<string, string> {
  return Object.fromEntries(Object.entries(map ?? {}).filter(([entry]) => entry !== name));
}

function samePort(
  left: { TargetPort?: number | null | undefined; Protocol?: string | null | undefined },
  right: typeof left,
): boolean {
  return (
    left.TargetPort === right.TargetPort && (left.Protocol ?? 'tcp') === (right.Protocol ?? 'tcp')
  );
}
