import type { Command } from 'commander';
import { filters } from './client.ts';
import type { Context } from './context.ts';
import { followLogs } from './logs.ts';
import { type Column, type ListOptions, printJson, printList, shortId } from './output.ts';
import { addCreate, collect, type Options, texts } from './service-create.ts';
import { addHistory } from './service-history.ts';
import { addRebalance, addScaleAndRollback, addUpdate } from './service-update.ts';
import { printTasks } from './task-table.ts';
import { parsePair } from './units.ts';

export interface ServiceRow {
  readonly ID: string;
  readonly Spec: {
    readonly Name: string;
    readonly Labels?: Readonly<Record<string, string>>;
    readonly Mode: Readonly<Record<string, unknown>>;
    readonly TaskTemplate: { readonly ContainerSpec?: { readonly Image?: string } };
  };
  readonly ServiceStatus?: {
    readonly RunningTasks: number;
    readonly DesiredTasks: number;
    readonly CompletedTasks?: number;
  };
  readonly Endpoint?: {
    readonly Ports?:
      | { PublishedPort?: number; TargetPort: number; Protocol: string; PublishMode: string }[]
      | null;
  };
}

export const SERVICE_COLUMNS: readonly Column<ServiceRow>[] = [
  { title: 'ID', cell: (row) => shortId(row.ID) },
  { title: 'NAME', cell: (row) => row.Spec.Name },
  { title: 'MODE', cell: (row) => modeText(row.Spec.Mode) },
  {
    title: 'REPLICAS',
    cell: replicasText,
  },
  {
    title: 'IMAGE',
    cell: (row) => row.Spec.TaskTemplate.ContainerSpec?.Image?.replace(/@sha256:.*/, '') ?? '',
  },
  { title: 'PORTS', cell: portsText },
];

/** `ctl service …` */
export function addService(program: Command, context: () => Context): void {
  const service = program.command('service').description('Services: what runs, and how many of it');
  addCreate(service, context);
  addUpdate(service, context);
  addScaleAndRollback(service, context);
  addRebalance(service, context);
  addHistory(service, context);
  service
    .command('ls')
    .alias('list')
    .description('List services')
    .option('-f, --filter <key=value>', 'name, id, label or mode', collect)
    .option('--format <format>', 'json: one object a line')
    .option('-q, --quiet', 'ids only')
    .action(async (options: ListOptions & Options) => {
      const { client, output } = context();
      const services = await client.get<ServiceRow[]>('/services', {
        status: true,
        filters: filterTerms(options),
      });
      const sorted = services.toSorted((left, right) =>
        left.Spec.Name < right.Spec.Name ? -1 : 1,
      );
      printList(output, sorted, SERVICE_COLUMNS, options);
    });
  service
    .command('ps <service...>')
    .description('List the tasks of services, with the reason why one does not run')
    .option('-f, --filter <key=value>', 'name, id, node or desired-state', collect)
    .option('--format <format>', 'json: one object a line')
    .option('--no-trunc', 'show whole ids and errors')
    .option('-q, --quiet', 'ids only')
    .action(async (names: string[], options: ListOptions & Options) => {
      const { client, output } = context();
      const found = await Promise.all(
        names.map((name) => client.get<{ ID: string }>(`/services/${encodeURIComponent(name)}`)),
      );
      const terms = { ...parseFilters(options), service: found.map(({ ID }) => ID) };
      await printTasks(client, output, terms, { ...options, noTrunc: options['trunc'] === false });
    });
  service
    .command('inspect <service...>')
    .description('Show everything known of services')
    .action(async (names: string[]) => {
      const { client, output } = context();
      const all = names.map((name) =>
        client.get(`/services/${encodeURIComponent(name)}`, { insertDefaults: true }),
      );
      printJson(output, await Promise.all(all));
    });
  service
    .command('rm <service...>')
    .description('Remove services')
    .action(async (names: string[]) => {
      const { client, output } = context();
      for (const name of names) {
        await client.delete(`/services/${encodeURIComponent(name)}`);
        output.line(name);
      }
    });
  service
    .command('logs <service>')
    .description('Show what the tasks of a service print')
    .option('-f, --follow', 'go on as they print more')
    .option('-n, --tail <lines>', 'only the last lines of each task', 'all')
    .option('--since <time>', 'only newer lines: a time, or 10m for ten minutes ago')
    .option('-t, --timestamps', 'show when each line was printed')
    .option('--raw', 'without the name of the task before each line')
    .action(async (name: string, options: Options) => await followLogs(context(), name, options));
}

export function parseFilters(options: Options): Record<string, string[]> {
  const terms: Record<string, string[]> = {};
  for (const text of texts(options, 'filter')) {
    const [key, value] = parsePair(text);
    terms[key] = [...(terms[key] ?? []), value];
  }
  return terms;
}

export function filterTerms(options: Options): string | undefined {
  const terms = parseFilters(options);
  return Object.keys(terms).length === 0 ? undefined : filters(terms);
}

function replicasText({ Spec, ServiceStatus }: ServiceRow): string {
  const { RunningTasks = 0, DesiredTasks = 0, CompletedTasks = 0 } = ServiceStatus ?? {};
  const running = `${RunningTasks}/${DesiredTasks}`;
  const job = Spec.Mode['ReplicatedJob'] as { TotalCompletions?: number } | undefined;
  if (!(job || Spec.Mode['GlobalJob'])) return running;
  const wanted = job?.TotalCompletions ?? DesiredTasks + CompletedTasks;
  return `${running} (${CompletedTasks}/${wanted} completed)`;
}

function modeText(mode: Readonly<Record<string, unknown>>): string {
  if (mode['Global']) return 'global';
  if (mode['ReplicatedJob']) return 'replicated job';
  if (mode['GlobalJob']) return 'global job';
  return 'replicated';
}

function portsText(row: ServiceRow): string {
  return (row.Endpoint?.Ports ?? [])
    .map((port) => `*:${port.PublishedPort ?? 0}->${port.TargetPort}/${port.Protocol}`)
    .join(', ');
}
