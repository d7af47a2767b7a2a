import {
  isMap as isYamlMap,
  isScalar as isYamlScalar,
  isSeq as isYamlSeq,
  LineCounter,
  type Node,
  parseDocument,
  type ScalarTag,
} from 'yaml';
import { InterpolationError, interpolateTree, type Variables } from './interpolate.ts';
import { asMap, asText, isMap, stackProblem, type YamlMap } from './problem.ts';
import { FORBIDDEN, firstProblem } from './schema.ts';

/** `0444` is octal in Compose files, as it was in YAML 1.1; without this it would be four hundred and forty-four. */
const OLD_OCTAL: ScalarTag = {
  tag: 'tag:yaml.org,2002:int',
  default: true,
  format: 'OLD_OCTAL',
  test: /^0[0-7]+$/,
  resolve: (text) => Number.parseInt(text, 8),
};

export interface StackFile {
  /** As the user named it; shown in errors. */
  readonly path: string;
  readonly text: string;
}

/**
 * One file, parsed, filled in and checked.
 * @throws ClusterError invalid with file and line
 */
export function parseStackFile(file: StackFile, variables: Variables): YamlMap {
  const lines = new LineCounter();
  const document = parseDocument(file.text, {
    lineCounter: lines,
    merge: true,
    customTags: (tags) => [OLD_OCTAL, ...tags],
    prettyErrors: false,
  });
  const broken = document.errors[0];
  if (broken) {
    const line = lines.linePos(broken.pos[0]).line;
    throw stackProblem(`yaml: ${broken.message}`, { file: file.path, line });
  }
  const lineOf = (path: readonly string[]): number | undefined =>
    lineAt(document.contents, path, lines);
  const raw: unknown = document.toJS({ maxAliasCount: 1000 });
  if (!isMap(raw))
    throw stackProblem('a stack file is a mapping with the key services', {
      file: file.path,
      line: 1,
    });
  checkVersion(raw, { file: file.path, line: lineOf(['version']) });
  checkForbidden(raw, (path) => ({ file: file.path, line: lineOf(path) }));
  const filled = fillIn(raw, variables, file.path);
  const problem = firstProblem(filled);
  if (problem) {
    throw stackProblem(`${problem.path.join('.')} ${problem.message}`, {
      file: file.path,
      line: lineOf(problem.path),
    });
  }
  return filled;
}

/** Variables are filled into values below the sections, not into keys nor into `version`. */
function fillIn(raw: YamlMap, variables: Variables, file: string): YamlMap {
  try {
    return asMap(interpolateTree(raw, variables, []));
  } catch (cause) {
    if (!(cause instanceof InterpolationError)) throw cause;
    throw stackProblem(cause.message, { file });
  }
}

function checkVersion(
  raw: YamlMap,
  at: { readonly file: string; readonly line: number | undefined },
): void {
  if (!('version' in raw)) return;
  const version = asText(raw['version']);
  if (/^3(\.\d+)?$/.test(version)) return;
  throw stackProblem(
    `unsupported Compose file version: ${version}; stacks are written in version 3`,
    at,
  );
}

function checkForbidden(
  raw: YamlMap,
  place: (path: readonly string[]) => { readonly file: string; readonly line?: number | undefined },
): void {
  for (const [name, service] of Object.entries(asMap(raw['services']))) {
    const key = Object.keys(asMap(service)).find((candidate) => candidate in FORBIDDEN);
    if (key !== undefined) {
      const path = ['services', name, key];
      throw stackProblem(`services.${name}.${key}: ${FORBIDDEN[key]}`, place(path));
    }
  }
}

/** The line where the deepest known part of `path` stands. */
function lineAt(root: unknown, path: readonly string[], lines: LineCounter): number | undefined {
  let node = root as Node | null;
  let line = positionOf(node, lines);
  for (const key of path) {
    const [where, next] = step(node, key);
    if (where === undefined) break;
    line = positionOf(where, lines) ?? line;
    node = next;
  }
  return line;
}

function step(node: Node | null, key: string): readonly [Node | undefined, Node | null] {
  if (isYamlMap(node)) {
    const pair = node.items.find(
      (item) => isYamlScalar(item.key) && String(item.key.value) === key,
    );
    return [pair?.key as Node | undefined, (pair?.value ?? null) as Node | null];
  }
  if (isYamlSeq(node)) {
    const item = node.items[Number(key)] as Node | undefined;
    return [item, item ?? null];
  }
  return [undefined, null];
}

function positionOf(node: Node | null | undefined, lines: LineCounter): number | undefined {
  const offset = node?.range?.[0];
  return offset === undefined ? undefined : lines.linePos(offset).line;
}
