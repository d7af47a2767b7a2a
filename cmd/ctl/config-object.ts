import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { readText } from './client.ts';
import type { Context } from './context.ts';
import { Failure } from './failure.ts';
import { ago, type Column, type ListOptions, printJson, printList } from './output.ts';
import { filterTerms } from './service.ts';
import { collect, type Options, texts } from './service-create.ts';
import { toMap } from './service-flags.ts';

interface Row {
  readonly ID: string;
  readonly CreatedAt: string;
  readonly UpdatedAt: string;
  readonly Spec: { readonly Name: string };
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'ID', cell: (row) => row.ID },
  { title: 'NAME', cell: (row) => row.Spec.Name },
  { title: 'CREATED', cell: (row) => ago(row.CreatedAt) },
  { title: 'UPDATED', cell: (row) => ago(row.UpdatedAt) },
];

/** `ctl secret …` and `ctl config …`: the same verbs for both. */
export function addConfigObject(
  program: Command,
  noun: 'secret' | 'config',
  context: () => Context,
): void {
  const text =
    noun === 'secret' ? 'Secrets: files that only tasks see' : 'Configs: files given to tasks';
  const command = program.command(noun).description(text);
  command
    .command('create <name> <file>')
    .description(`Create a ${noun} from a file, or from standard input when FILE is -`)
    .option('-l, --label <key=value>', 'label', collect)
    .option('--template-driver <name>', 'golang: fill in {{.Node.Hostname}} and the like')
    .action(async (name: string, file: string, options: Options) => {
      const { client, output } = context();
      const template = options['templateDriver'];
      const created = await client.post<{ ID: string }>(`/${noun}s/create`, {
        Name: name,
        Labels: toMap(texts(options, 'label')),
        Data: (await readContent(file)).toString('base64'),
        ...(template === undefined ? {} : { Templating: { Name: template } }),
      });
      output.line(created.ID);
    });
  command
    .command('ls')
    .alias('list')
    .description(`List ${noun}s`)
    .option('-f, --filter <key=value>', 'name, id or label', collect)
    .option('--format <format>', 'json: one object a line')
    .option('-q, --quiet', 'ids only')
    .action(async (options: ListOptions & Options) => {
      const { client, output } = context();
      printList(
        output,
        await client.get<Row[]>(`/${noun}s`, { filters: filterTerms(options) }),
        COLUMNS,
        options,
      );
    });
  command
    .command(`inspect <${noun}...>`)
    .description(`Show everything known of ${noun}s`)
    .action(async (names: string[]) => {
      const { client, output } = context();
      printJson(
        output,
        await Promise.all(names.map((name) => client.get(`/${noun}s/${encodeURIComponent(name)}`))),
      );
    });
  command
    .command(`rm <${noun}...>`)
    .description(`Remove ${noun}s`)
    .action(async (names: string[]) => {
      const { client, output } = context();
      for (const name of names) {
        await client.delete(`/${noun}s/${encodeURIComponent(name)}`);
        output.line(name);
      }
    });
}

async function readContent(file: string): Promise<Buffer> {
  if (file === '-') return Buffer.from(await readText(process.stdin));
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new Failure(
      `cannot read ${file}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}
