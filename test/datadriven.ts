/**
 * Scripts as tests. A script is a text file of commands and what they printed:
 *
 *     # comment
 *     command word key=value
 *     more input
 *     ----
 *     expected output
 *
 * An empty line ends the output. `replay` runs the commands and returns the script with the output as it is now; compare
 * with `toMatchFileSnapshot`, and `vitest -u` writes it back. Commit a changed script only when the change is understood.
 */
export interface Command {
  readonly name: string;
  /** Words without `=`. */
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, string>;
  /** The lines between the command and `----`. */
  readonly input: readonly string[];
}

const SEPARATOR = '----';

/** The script with the outputs that `run` gives now. Throws when a command has no `----`. */
export function replay(script: string, run: (command: Command) => string): string {
  const written: string[] = [];
  const lines = script.split('\n');
  for (let at = 0; at < lines.length; ) {
    const line = lines[at] ?? '';
    if (line.trim() === '' || line.startsWith('#')) {
      written.push(line);
      at++;
      continue;
    }
    const separator = lines.indexOf(SEPARATOR, at);
    if (separator < 0) throw new Error(`line ${at + 1}: no ${SEPARATOR} after ${line}`);
    const given = lines.slice(at, separator);
    const output = run(parse(given)).trimEnd();
    written.push(...given, SEPARATOR, ...(output === '' ? [] : output.split('\n')));
    at = endOfOutput(lines, separator + 1);
  }
  return written.join('\n');
}

function parse([first = '', ...input]: readonly string[]): Command {
  const [name = '', ...fields] = first.trim().split(/\s+/);
  const words = fields.filter((field) => !field.includes('='));
  const options = fields
    .filter((field) => field.includes('='))
    .map((field): [string, string] => {
      const at = field.indexOf('=');
      return [field.slice(0, at), field.slice(at + 1)];
    });
  return { name, words, options: new Map(options), input };
}

function endOfOutput(lines: readonly string[], from: number): number {
  const end = lines.findIndex((line, i) => i >= from && line === '');
  return end < 0 ? lines.length : end;
}
