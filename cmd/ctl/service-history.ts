import type { Command } from 'commander';
import type { Context } from './context.ts';
import { ago, type Column, type ListOptions, printJson, printList } from './output.ts';

interface RevisionRow {
  readonly Revision: number;
  readonly CreatedAt: string;
  readonly Current: boolean;
  readonly RunningTasks: number;
  readonly Spec: {
    readonly Mode?: { readonly Replicated?: { readonly Replicas?: number } };
    readonly TaskTemplate?: { readonly ContainerSpec?: { readonly Image?: string } };
  };
}

const COLUMNS: readonly Column<RevisionRow>[] = [
  { title: 'REVISION', cell: (row) => String(row.Revision) },
  { title: 'ACCEPTED', cell: (row) => ago(row.CreatedAt) },
  { title: 'STATE', cell: (row) => (row.Current ? 'current' : '') },
  { title: 'RUNNING', cell: (row) => String(row.RunningTasks) },
  { title: 'REPLICAS', cell: (row) => String(row.Spec.Mode?.Replicated?.Replicas ?? '') },
  {
    title: 'IMAGE',
    cell: (row) => row.Spec.TaskTemplate?.ContainerSpec?.Image?.replace(/@sha256:.*/, '') ?? '',
  },
];

/** Adds `service history` to its noun. */
export function addHistory(service: Command, context: () => Context): void {
  service
    .command('history <service>')
    .description('List the last 20 specs of a service; ctl service rollback --to goes back to one')
    .option('--format <format>', 'json: one object a line')
    .option('--spec <revision>', 'show the whole spec of one of them')
    .option('-q, --quiet', 'numbers only')
    .action(async (name: string, options: ListOptions & { readonly spec?: string }) => {
      const { client, output } = context();
      const path = `/services/${encodeURIComponent(name)}/revisions`;
      const rows = await client.get<RevisionRow[]>(path);
      if (options.spec === undefined) {
        printList(output, rows, COLUMNS, options);
        return;
      }
      const wanted = rows.filter((row) => String(row.Revision) === options.spec);
      printJson(
        output,
        wanted.map((row) => row.Spec),
      );
    });
}
