import { asMap, asText, asTextMap, type YamlMap } from './problem.ts';

export const STACK_LABEL = 'com.docker.stack.namespace';
export const IMAGE_LABEL = 'com.docker.stack.image';

/** The stack's name and file, as every conversion needs them. */
export interface Scope {
  readonly stack: string;
  readonly file: YamlMap;
  /** For relative bind mounts. */
  readonly folder: string;
  readonly home: string;
}

export function scopedName(scope: Scope, name: string): string {
  return `${scope.stack}_${name}`;
}

export function stackLabels(scope: Scope, labels: unknown): Readonly<Record<string, string>> {
  return sorted({ ...asTextMap(labels), [STACK_LABEL]: scope.stack });
}

/** `external: true`, or the older `external: {name: x}`. */
export function isExternal(object: YamlMap): boolean {
  return (
    object['external'] !== undefined &&
    object['external'] !== null &&
    object['external'] !== false &&
    object['external'] !== 'false'
  );
}

/** The name in the cluster of an object of the file. */
export function objectName(scope: Scope, key: string, object: YamlMap): string {
  const given = asText(object['name']);
  if (given !== '') return given;
  if (isExternal(object)) return asText(asMap(object['external'])['name']) || key;
  return scopedName(scope, key);
}

/** Keys in byte order: the same file gives the same spec, always. */
export function sorted<T>(map: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.fromEntries(
    Object.entries(map).toSorted(([left], [right]) => (left < right ? -1 : 1)),
  );
}

/** Only the fields that have a value. */
export function compact<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}
