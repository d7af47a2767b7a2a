import { ClusterError } from '../model/index.ts';

/** A mistake in a stack file: kind invalid, with file and line when the place is known. */
export function stackProblem(
  message: string,
  at?: { readonly file: string; readonly line?: number | undefined },
): ClusterError {
  const place = at === undefined ? '' : `${at.file}${at.line === undefined ? '' : `:${at.line}`}: `;
  return new ClusterError('invalid', `${place}${message}`, { code: 'ERR_STACK_FILE' });
}

export type YamlMap = Readonly<Record<string, unknown>>;

export function isMap(value: unknown): value is YamlMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function asMap(value: unknown): YamlMap {
  return isMap(value) ? value : {};
}

export function asList(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

export function asText(value: unknown): string {
  return value === undefined || value === null ? '' : String(value);
}

/** `{a: 1}` or `[a=1, b]` as pairs; a null value stays null. */
export function asPairs(value: unknown): readonly (readonly [string, string | null])[] {
  if (isMap(value)) {
    return Object.entries(value).map(([key, entry]) => [
      key,
      entry === null ? null : asText(entry),
    ]);
  }
  return asList(value).map((entry) => {
    const text = asText(entry);
    const at = text.indexOf('=');
    return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
  });
}

/** Pairs as an object; null becomes the empty string. */
export function asTextMap(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(asPairs(value).map(([key, entry]) => [key, entry ?? '']));
}
