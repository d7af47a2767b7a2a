import { styleText } from 'node:util';

/** Where ctl writes; a terminal gets colours and live progress. */
export interface Output {
  readonly interactive: boolean;
  line(text: string): void;
  error(text: string): void;
  raw(text: string | Uint8Array): void;
}

export const terminal: Output = {
  interactive: process.stdout.isTTY === true,
  line: (text) => void process.stdout.write(`${text}\n`),
  error: (text) => void process.stderr.write(`${text}\n`),
  raw: (text) => void process.stdout.write(text),
};

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
}

export interface ListOptions {
  readonly format?: string | undefined;
  readonly quiet?: boolean | undefined;
}

/** Rows as a table, as one JSON object a line (`--format json`), or their ids only (`-q`). */
export function printList<Row>(
  output: Output,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  options: ListOptions,
): void {
  if (options.quiet) {
    for (const row of rows) output.line(columns[0]?.cell(row) ?? '');
    return;
  }
  if (options.format === 'json') {
    for (const row of rows) {
      const fields = columns.map((column) => [jsonKey(column.title), column.cell(row)]);
      output.line(JSON.stringify(Object.fromEntries(fields)));
    }
    return;
  }
  const cells = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => column.cell(row))),
  ];
  const widths = columns.map((_, at) => Math.max(...cells.map((line) => (line[at] ?? '').length)));
  for (const line of cells) {
    output.line(
      line
        .map((cell, at) => (at === line.length - 1 ? cell : cell.padEnd((widths[at] ?? 0) + 3)))
        .join(''),
    );
  }
}

export function printJson(output: Output, value: unknown): void {
  output.line(JSON.stringify(value, null, 4));
}

/** `3 minutes ago`, Docker's words. */
export function ago(time: string | number, now = Date.now()): string {
  const then = typeof time === 'number' ? time : Date.parse(time);
  const text = duration(now - then);
  return `${text} ago`;
}

export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 1) return 'Less than a second';
  if (seconds < 60) return seconds === 1 ? '1 second' : `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return minutes === 1 ? 'About a minute' : `${minutes} minutes`;
  const hours = Math.round(minutes / 60);
  if (hours < 48) return hours === 1 ? 'About an hour' : `${hours} hours`;
  return `${Math.round(hours / 24)} days`;
}

export function colour(
  output: Output,
  format: 'red' | 'green' | 'yellow' | 'dim',
  text: string,
): string {
  return output.interactive ? styleText(format, text) : text;
}

export function shortId(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12);
}

function jsonKey(title: string): string {
  return title
    .toLowerCase()
    .split(' ')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');
}
