import type { Command } from 'commander';
import type { Context } from './context.ts';
import { Failure } from './failure.ts';
import { type Column, type ListOptions, printJson, printList } from './output.ts';
import { filterTerms, parseFilters } from './service.ts';
import { collect, type Options, texts } from './service-create.ts';
import { oneOf } from './service-flags.ts';
import { printTasks } from './task-table.ts';
import { parsePair } from './units.ts';

interface NodeObject {
  readonly ID: string;
  readonly Version: { readonly Index: number };
  readonly Spec: { Availability: string; Role: string; Labels?: Record<string, string> };
  readonly Description: {
    readonly Hostname: string;
    readonly Engine?: { readonly EngineVersion?: string };
  };
  readonly Status: { readonly State: string; readonly Addr?: string };
  readonly ManagerStatus?: { readonly Leader?: boolean; readonly Reachability: string };
}

/** `ctl node …` */
export function addNode(program: Command, context: () => Context): void {
  const node = program.command('node').description('Nodes: the machines of the cluster');
  node
    .command('ls')
    .alias('list')
    .description('List nodes')
    .option('-f, --filter <key=value>', 'name, id, role, membership or node.label', collect)
    .option('--format <format>', 'json: one object a line')
    .option('-q, --quiet', 'ids only')
    .action(async (options: ListOptions & Options) => await list(context(), options));
  node
    .command('inspect <node...>')
    .description('Show everything known of nodes; self is this one')
    .action(async (names: string[]) => {
      const { client, output } = context();
      printJson(
        output,
        await Promise.all(
          names.map((name) => find(context(), name).then(({ ID }) => client.get(`/nodes/${ID}`))),
        ),
      );
    });
  node
    .command('ps [node...]')
    .description('List the tasks on nodes; without a name: on this one')
    .option('-f, --filter <key=value>', 'name, id or desired-state', collect)
    .option('--format <format>', 'json: one object a line')
    .option('--no-trunc', 'show whole ids and errors')
    .option('-q, --quiet', 'ids only')
    .action(async (names: string[], options: ListOptions & Options) => {
      const found = await Promise.all(
        (names.length > 0 ? names : ['self']).map((name) => find(context(), name)),
      );
      const terms = { ...parseFilters(options), node: found.map(({ ID }) => ID) };
      await printTasks(context().client, context().output, terms, {
        ...options,
        noTrunc: options['trunc'] === false,
      });
    });
  node
    .command('update <node>')
    .description('Change the availability, role or labels of a node')
    .option('--availability <state>', 'active, pause or drain')
    .option('--role <role>', 'worker or manager')
    .option('--label-add <key=value>', 'label to add', collect)
    .option('--label-rm <key>', 'label to remove', collect)
    .action(async (name: string, options: Options) => await update(context(), name, options));
  for (const [verb, role] of [
    ['promote', 'manager'],
    ['demote', 'worker'],
  ] as const) {
    node
      .command(`${verb} <node...>`)
      .description(`Make nodes ${role}s`)
      .action(async (names: string[]) => {
        for (const name of names) await update(context(), name, { role });
      });
  }
  node
    .command('rm <node...>')
    .description('Remove nodes that are down')
    .option('-f, --force', 'even if it is still up')
    .action(async (names: string[], options: Options) => {
      const { client, output } = context();
      for (const name of names) {
        await client.delete(`/nodes/${(await find(context(), name)).ID}`, {
          force: options['force'] === true,
        });
        output.line(name);
      }
    });
}

async function list(context: Context, options: ListOptions & Options): Promise<void> {
  const { client, output } = context;
  const nodes = await client.get<NodeObject[]>('/nodes', { filters: filterTerms(options) });
  const self = await selfId(context);
  const table = !(options.quiet || options.format === 'json');
  const columns: readonly Column<NodeObject>[] = [
    { title: 'ID', cell: (row) => (row.ID === self && table ? `${row.ID} *` : row.ID) },
    ...(options.format === 'json'
      ? [{ title: 'SELF', cell: (row: NodeObject): string => String(row.ID === self) }]
      : []),
    { title: 'HOSTNAME', cell: (row) => row.Description.Hostname },
    { title: 'STATUS', cell: (row) => capital(row.Status.State) },
    { title: 'AVAILABILITY', cell: (row) => capital(row.Spec.Availability) },
    { title: 'MANAGER STATUS', cell: managerText },
    { title: 'ADDRESS', cell: (row) => row.Status.Addr ?? '' },
    { title: 'ENGINE VERSION', cell: (row) => row.Description.Engine?.EngineVersion ?? '' },
  ];
  printList(output, nodes, columns, options);
}

async function selfId({ client }: Context): Promise<string> {
  return (await client.get<{ Swarm?: { NodeID?: string } }>('/info')).Swarm?.NodeID ?? '';
}

/** A node by id, prefix of an id, host name, or `self`. */
async function find(context: Context, name: string): Promise<NodeObject> {
  const wanted = name === 'self' ? await selfId(context) : name;
  if (wanted === '')
    throw new Failure('this host is not part of a cluster; make one: ctl swarm init');
  return await context.client.get<NodeObject>(`/nodes/${encodeURIComponent(wanted)}`);
}

async function update(context: Context, name: string, options: Options): Promise<void> {
  const { client, output } = context;
  const node = await find(context, name);
  const spec = node.Spec;
  if (options['availability'] !== undefined) {
    spec.Availability = oneOf(String(options['availability']), 'availability', [
      'active',
      'pause',
      'drain',
    ]);
  }
  if (options['role'] !== undefined)
    spec.Role = oneOf(String(options['role']), 'role', ['worker', 'manager']);
  const gone = texts(options, 'labelRm');
  const kept = Object.entries(spec.Labels ?? {}).filter(([key]) => !gone.includes(key));
  spec.Labels = Object.fromEntries([...kept, ...texts(options, 'labelAdd').map(parsePair)]);
  await client.post(`/nodes/${node.ID}/update`, spec, { version: node.Version.Index });
  output.line(name);
}

function managerText(row: NodeObject): string {
  if (!row.ManagerStatus) return '';
  return row.ManagerStatus.Leader ? 'Leader' : capital(row.ManagerStatus.Reachability);
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
