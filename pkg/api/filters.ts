import { invalid } from './failure.ts';

/**
 * `?filters=`: values of one key are alternatives, different keys must all hold. Two encodings are in use:
 * `{"name":["a"]}` and `{"name":{"a":true}}`.
 */
export class Filters {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  values(key: string): readonly string[] {
    return this.#values.get(key) ?? [];
  }

  get empty(): boolean {
    return this.#values.size === 0;
  }

  /** True when the key is absent or `test` accepts one of its values. */
  any(key: string, test: (value: string) => boolean): boolean {
    const values = this.#values.get(key);
    return values === undefined || values.length === 0 || values.some(test);
  }

  exact(key: string, ...candidates: readonly (string | undefined)[]): boolean {
    return this.any(key, (value) => candidates.includes(value));
  }

  /** Swarm objects: `id` and `name` match by prefix. */
  prefix(key: string, ...candidates: readonly (string | undefined)[]): boolean {
    return this.any(key, (value) => candidates.some((text) => text?.startsWith(value) === true));
  }

  /** `k` or `k=v`; every value must hold. */
  labels(key: string, labels: Readonly<Record<string, string>> | null | undefined): boolean {
    return this.values(key).every((wanted) => hasLabel(labels, wanted));
  }

  /** `label!`: none of the values may hold. */
  withoutLabels(labels: Readonly<Record<string, string>> | null | undefined): boolean {
    return !this.values('label!').some((wanted) => hasLabel(labels, wanted));
  }
}

export function hasLabel(
  labels: Readonly<Record<string, string>> | null | undefined,
  wanted: string,
): boolean {
  const at = wanted.indexOf('=');
  const key = at < 0 ? wanted : wanted.slice(0, at);
  const value = labels?.[key];
  return value !== undefined && (at < 0 || value === wanted.slice(at + 1));
}

const NO_FILTERS = new Filters(new Map());

/** Throws kind `invalid` for malformed JSON and for keys that are not in `allowed`. */
export function parseFilters(text: string | undefined, allowed: readonly string[]): Filters {
  if (text === undefined || text === '') return NO_FILTERS;
  const values = new Map<string, readonly string[]>();
  for (const [key, value] of Object.entries(parseObject(text))) {
    if (!allowed.includes(key)) throw invalid(`invalid filter '${key}'`);
    values.set(key, valuesOf(value));
  }
  return new Filters(values);
}

function parseObject(text: string): object {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed;
    if (parsed === null) return {};
  } catch (error) {
    throw invalid(`invalid filter: ${text}`, error);
  }
  throw invalid(`invalid filter: ${text}`);
}

function valuesOf(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.map(String);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, on]) => (on === false ? [] : [key]));
}

/** One boolean filter (`dangling`, `_up-to-date`); undefined when absent. */
export function flagFilter(filters: Filters, key: string): boolean | undefined {
  const value = filters.values(key)[0];
  if (value === undefined) return undefined;
  if (value === '1' || value === 'true') return true;
  if (value === '0' || value === 'false') return false;
  throw invalid(`invalid filter '${key}=[${value}]'`);
}
