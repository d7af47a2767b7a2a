import { createReadStream, existsSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Command } from 'commander';
import type { Context } from './context.ts';
import { Failure } from './failure.ts';
import {
  ago,
  type Column,
  type ListOptions,
  type Output,
  printJson,
  printList,
  shortId,
} from './output.ts';
import type { Options } from './service-create.ts';
import { sizeText } from './units.ts';

interface Image {
  readonly Id: string;
  readonly RepoTags?: string[] | null;
  readonly Created: number;
  readonly Size: number;
}

interface Row {
  readonly id: string;
  readonly repository: string;
  readonly tag: string;
  readonly created: number;
  readonly size: number;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'REPOSITORY', cell: (row) => row.repository },
  { title: 'TAG', cell: (row) => row.tag },
  { title: 'IMAGE ID', cell: (row) => shortId(row.id) },
  { title: 'CREATED', cell: (row) => ago(row.created * 1000) },
  { title: 'SIZE', cell: (row) => sizeText(row.size) },
];

/** `ctl image …`: the images of the host that ctl talks to. */
export function addImage(program: Command, context: () => Context): void {
  const image = program.command('image').description('Images on this host');
  image
    .command('ls')
    .alias('list')
    .description('List images')
    .option('--format <format>', 'json: one object a line')
    .option('-q, --quiet', 'ids only')
    .action(async (options: ListOptions) => {
      const { client, output } = context();
      const rows = (await client.get<Image[]>('/images/json')).flatMap(rowsOf);
      if (options.quiet) for (const row of rows) output.line(shortId(row.id));
      else printList(output, rows, COLUMNS, options);
    });
  image
    .command('pull <image>')
    .description('Fetch an image from its registry')
    .action(async (name: string) => {
      const { client, output } = context();
      await showProgress(
        output,
        await client.open('POST', '/images/create', { query: { fromImage: name } }),
      );
    });
  image
    .command('load')
    .description('Load images from an archive of docker save or of OCI layout')
    .option('-i, --input <file>', 'the archive; standard input when absent')
    .option('-q, --quiet', 'show no progress')
    .action(async (options: Options) => {
      const { client, output } = context();
      const stream = contentOf(options['input'] === undefined ? '-' : String(options['input']));
      const headers = { 'content-type': 'application/x-tar' };
      await showProgress(
        output,
        await client.open('POST', '/images/load', { stream, headers, query: { quiet: true } }),
      );
    });
  image
    .command('import <file> [name]')
    .description('Make an image of one layer from an archive of a root file system')
    .option('-m, --message <text>', 'comment')
    .option('-c, --change <instruction...>', 'CMD, ENV, ENTRYPOINT, EXPOSE, USER, WORKDIR, LABEL')
    .action(async (file: string, name: string | undefined, options: Options) => {
      const { client, output } = context();
      const [repo, tag] = (name ?? '').split(/:(?=[^/]*$)/);
      const changes = (options['change'] as string[] | undefined) ?? [];
      const query = changes.map((change) => `&changes=${encodeURIComponent(change)}`).join('');
      const parts = `fromSrc=-&repo=${encodeURIComponent(repo ?? '')}&tag=${encodeURIComponent(tag ?? '')}${query}`;
      const headers = { 'content-type': 'application/x-tar' };
      await showProgress(
        output,
        await client.open('POST', `/images/create?${parts}`, { stream: contentOf(file), headers }),
      );
    });
  image
    .command('inspect <image...>')
    .description('Show everything known of images')
    .action(async (names: string[]) => {
      const { client, output } = context();
      printJson(output, await Promise.all(names.map((name) => client.get(`/images/${name}/json`))));
    });
  image
    .command('rm <image...>')
    .description('Remove images')
    .option('-f, --force', 'even if a stopped container uses it')
    .action(async (names: string[], options: Options) => {
      const { client, output } = context();
      for (const name of names) {
        const gone = await client.json<{ Untagged?: string; Deleted?: string }[]>(
          'DELETE',
          `/images/${name}`,
          {
            query: { force: options['force'] === true },
          },
        );
        for (const entry of gone)
          output.line(entry.Untagged ? `Untagged: ${entry.Untagged}` : `Deleted: ${entry.Deleted}`);
      }
    });
}

function rowsOf(image: Image): readonly Row[] {
  const tags = image.RepoTags && image.RepoTags.length > 0 ? image.RepoTags : ['<none>:<none>'];
  return tags.map((name) => {
    const at = name.lastIndexOf(':');
    return {
      id: image.Id,
      repository: name.slice(0, at),
      tag: name.slice(at + 1),
      created: image.Created,
      size: image.Size,
    };
  });
}

function contentOf(file: string): Readable {
  if (file === '-') return process.stdin;
  if (!existsSync(file)) throw new Failure(`cannot read ${file}: there is no such file`);
  return createReadStream(file);
}

/** Prints the messages of a progress stream; what fails half-way arrives inside it. */
async function showProgress(output: Output, response: Readable): Promise<void> {
  let rest = '';
  let last = '';
  for await (const chunk of response) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) last = showMessage(output, line, last);
  }
  if (rest.trim() !== '') showMessage(output, rest, last);
}

function showMessage(output: Output, line: string, last: string): string {
  if (line.trim() === '') return last;
  const message = JSON.parse(line) as {
    status?: string;
    id?: string;
    stream?: string;
    error?: string;
  };
  if (message.error) throw new Failure(message.error);
  const text = message.stream?.trimEnd() ?? [message.id, message.status].filter(Boolean).join(': ');
  if (text !== '' && text !== last) output.line(text);
  return text;
}
