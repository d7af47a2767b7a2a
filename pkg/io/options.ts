import { ClusterError } from '../model/index.ts';

/** One row of a program's option table: the flag is `--name`, the environment variable `MUSTER_NAME`. */
export interface OptionRow {
  readonly name: string;
  readonly fallback: string;
  /** What it is, with its unit. */
  readonly text: string;
  /** May be given several times; the values are separated by blanks, as in the environment variable. */
  readonly repeatable?: boolean;
}

export type OptionValues<Rows extends readonly OptionRow[]> = Readonly<
  Record<Rows[number]['name'], string>
>;

/**
 * Values of `rows`: flag before environment before fallback.
 * @throws ClusterError invalid for a flag that is not in the table or has no value
 */
export function parseOptions<const Rows extends readonly OptionRow[]>(
  rows: Rows,
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): OptionValues<Rows> {
  const values = new Map<string, string>();
  const repeated = new Map<string, string>();
  for (const { name, fallback } of rows) {
    values.set(name, environment[variableOf(name)] ?? fallback);
  }
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? '';
    const [name = '', inline] = word.slice(2).split(/=(.*)/s);
    if (!word.startsWith('--') || !values.has(name)) {
      throw new ClusterError('invalid', `unknown option ${word}; --help lists what there is`);
    }
    const value = inline ?? args[++at];
    if (value === undefined) throw new ClusterError('invalid', `option ${word} needs a value`);
    if (rows.some((row) => row.name === name && row.repeatable)) {
      repeated.set(name, `${repeated.get(name) ?? ''} ${value}`.trim());
    } else values.set(name, value);
  }
  for (const [name, all] of repeated) values.set(name, all);
  return Object.freeze(Object.fromEntries(values)) as OptionValues<Rows>;
}

/** The table as `--help` prints it. */
export function renderOptions(rows: readonly OptionRow[]): string {
  const width = Math.max(...rows.map((row) => row.name.length));
  return rows
    .map((row) => {
      const fallback = row.fallback === '' ? '' : ` (default ${row.fallback})`;
      return `  --${row.name.padEnd(width)}  ${row.text}${fallback}; ${variableOf(row.name)}`;
    })
    .join('\n');
}

function variableOf(name: string): string {
  return `MUSTER_${name.toUpperCase().replaceAll('-', '_')}`;
}
