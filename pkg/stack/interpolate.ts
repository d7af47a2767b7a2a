import { isMap } from './problem.ts';

export type Variables = Readonly<Record<string, string | undefined>>;

const NAME = '[_a-zA-Z][_a-zA-Z0-9]*';
const PATTERN = new RegExp(`\\$(?:(\\$)|(${NAME})|\\{(${NAME})(?:(:?[-?+])([^}]*))?\\}|())`, 'g');

/** Why a text could not be filled in. */
export class InterpolationError extends Error {
  override readonly name = 'InterpolationError';
}

/**
 * Fills `$V`, `${V}`, `${V-d}`, `${V:-d}`, `${V?e}`, `${V:?e}`, `${V+x}`, `${V:+x}` and `$$` into a text (Compose
 * specification, Interpolation). Unset variables are empty.
 * @throws InterpolationError
 */
export function interpolate(text: string, variables: Variables): string {
  return text.replace(PATTERN, (...groups: readonly unknown[]) => {
    const [, escaped, plain, braced, operator, word] = groups as readonly (string | undefined)[];
    if (escaped !== undefined) return '$';
    const name = plain ?? braced;
    if (name === undefined) {
      throw new InterpolationError(
        `invalid interpolation format: "${text}". You may need to escape any $ with another $`,
      );
    }
    return filledIn(name, { operator, word: word ?? '', variables });
  });
}

function filledIn(
  name: string,
  {
    operator,
    word,
    variables,
  }: {
    readonly operator: string | undefined;
    readonly word: string;
    readonly variables: Variables;
  },
): string {
  const value = variables[name];
  const present = operator?.startsWith(':')
    ? value !== undefined && value !== ''
    : value !== undefined;
  switch (operator?.at(-1)) {
    case '-':
      return present ? (value ?? '') : interpolate(word, variables);
    case '+':
      return present ? interpolate(word, variables) : '';
    case '?':
      if (!present)
        throw new InterpolationError(`required variable ${name} is missing a value: ${word}`);
      return value ?? '';
    default:
      return value ?? '';
  }
}

/** Every string value below `node`, keys left alone. `path` names the place in errors. */
export function interpolateTree(
  node: unknown,
  variables: Variables,
  path: readonly string[],
): unknown {
  if (typeof node === 'string') {
    try {
      return interpolate(node, variables);
    } catch (cause) {
      if (!(cause instanceof InterpolationError)) throw cause;
      throw new InterpolationError(`${path.join('.')}: ${cause.message}`, { cause });
    }
  }
  if (Array.isArray(node))
    return node.map((item, at) => interpolateTree(item, variables, [...path, String(at)]));
  if (isMap(node)) {
    return Object.fromEntries(
      Object.entries(node).map(([key, item]) => [
        key,
        interpolateTree(item, variables, [...path, key]),
      ]),
    );
  }
  return node;
}
