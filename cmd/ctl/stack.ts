import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import type { Command } from 'commander';
import { loadStack, STACK_LABEL, type Stack } from '../../pkg/stack/index.ts';
import { filters, readText } from './client.ts';
import type { Context } from './context.ts';
import { Failure } from './failure.ts';
import { type ListOptions, printList } from './output.ts';
import { parseFilters, SERVICE_COLUMNS, type ServiceRow } from './service.ts';
import { collect, type Options, texts } from './service-create.ts';
import { deployStack, removeStack } from './stack-apply.ts';
import { printTasks } from './task-table.ts';

/** `ctl stack …` */
export function addStack(program: Command, context: () => Context): void {
  const stack = program
    .command('stack')
    .description('Stacks: services, networks, secrets and configs from one YAML file');
  stack
    .command('deploy <name>')
    .description(
      'Make a stack, or change it to what the file says; what did not change is left alone',
    )
    .requiredOption(
      '-c, --compose-file <file>',
      'the file, - for standard input; may be repeated',
      collect,
    )
    .option('--prune', 'remove services that the file does not have any more')
    .option('-d, --detach', 'return at once', false)
    .option('-q, --quiet', 'show no progress')
    .action(async (name: string, options: Options) => {
      const loaded = await load(context(), name, texts(options, 'composeFile'));
      for (const warning of loaded.warnings) context().output.error(warning);
      await deployStack(context(), name, loaded, options);
    });
  stack
    .command('ls')
    .alias('list')
    .description('List stacks')
    .option('--format <format>', 'json: one object a line')
    .action(async (options: ListOptions) => await list(context(), options));
  stack
    .command('services <name>')
    .description('List the services of a stack')
    .option('-f, --filter <key=value>', 'name, id or label', collect)
    .option('--format <format>', 'json: one object a line')
    .option('-q, --quiet', 'ids only')
    .action(async (name: string, options: ListOptions & Options) => {
      const { output } = context();
      const services = await servicesOf(context(), name, parseFilters(options));
      if (services.length === 0) throw new Failure(`nothing found in stack: ${name}`);
      printList(output, services, SERVICE_COLUMNS, options);
    });
  stack
    .command('ps <name>')
    .description('List the tasks of a stack')
    .option('-f, --filter <key=value>', 'name, id, node or desired-state', collect)
    .option('--format <format>', 'json: one object a line')
    .option('--no-trunc', 'show whole ids and errors')
    .option('-q, --quiet', 'ids only')
    .action(async (name: string, options: ListOptions & Options) => {
      const { client, output } = context();
      if ((await servicesOf(context(), name, {})).length === 0)
        throw new Failure(`nothing found in stack: ${name}`);
      const terms = { ...parseFilters(options), label: [`${STACK_LABEL}=${name}`] };
      await printTasks(client, output, terms, { ...options, noTrunc: options['trunc'] === false });
    });
  stack
    .command('rm <name...>')
    .description('Remove stacks and everything they made')
    .option('-d, --detach', 'return at once', false)
    .action(async (names: string[], options: Options) => {
      for (const name of names) await removeStack(context(), name, options['detach'] === true);
    });
}

async function load(
  { environment }: Context,
  name: string,
  paths: readonly string[],
): Promise<Stack> {
  const files = await Promise.all(
    paths.map(async (path) => ({
      path,
      text: path === '-' ? await readText(process.stdin) : readFile(path, 'utf8'),
    })),
  );
  const first = paths[0] ?? '-';
  const folder = first === '-' ? process.cwd() : dirname(resolve(first));
  const beside = (path: string): string => (isAbsolute(path) ? path : resolve(folder, path));
  try {
    return loadStack({
      name,
      files,
      variables: environment.variables,
      folder,
      home: environment.home,
      readText: (path) => readFile(beside(path), 'utf8'),
      readBase64: (path) => readFile(beside(path), 'base64'),
    });
  } catch (cause) {
    throw cause instanceof Failure
      ? cause
      : new Failure(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function readFile(path: string, encoding: 'utf8' | 'base64'): string {
  try {
    return readFileSync(path, encoding);
  } catch (cause) {
    throw new Failure(
      `cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

async function servicesOf(
  { client }: Context,
  name: string,
  terms: Readonly<Record<string, readonly string[]>>,
): Promise<ServiceRow[]> {
  const all = { ...terms, label: [...(terms['label'] ?? []), `${STACK_LABEL}=${name}`] };
  return await client.get<ServiceRow[]>('/services', { status: true, filters: filters(all) });
}

async function list({ client, output }: Context, options: ListOptions): Promise<void> {
  const services = await client.get<ServiceRow[]>('/services', {
    filters: filters({ label: [STACK_LABEL] }),
  });
  const counts = new Map<string, number>();
  for (const service of services) {
    const name = service.Spec.Labels?.[STACK_LABEL] ?? '';
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const rows = [...counts]
    .map(([name, count]) => ({ name, count }))
    .toSorted((left, right) => (left.name < right.name ? -1 : 1));
  const columns = [
    { title: 'NAME', cell: (row: (typeof rows)[number]): string => row.name },
    { title: 'SERVICES', cell: (row: (typeof rows)[number]): string => String(row.count) },
  ];
  printList(output, rows, columns, options);
}
