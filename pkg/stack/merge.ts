import { asList, asMap, asPairs, asText, isMap, type YamlMap } from './problem.ts';

const SECTIONS = ['services', 'networks', 'volumes', 'secrets', 'configs'] as const;
const PAIRS = new Set(['environment', 'labels', 'sysctls', 'extra_hosts']);
/** Replaced as a whole by a later file. */
const REPLACED = new Set(['command', 'entrypoint', 'healthcheck', 'test']);

/** Several files as one: a later one wins, mappings are merged, lists are joined (Compose files, `-c` given twice). */
export function mergeFiles(files: readonly YamlMap[]): YamlMap {
  let merged: YamlMap = {};
  for (const file of files) {
    const sections = SECTIONS.map((section) => [
      section,
      mergeSection(section, merged[section], file[section]),
    ]);
    merged = { ...merged, ...file, ...Object.fromEntries(sections) };
  }
  return merged;
}

function mergeSection(section: string, base: unknown, over: unknown): YamlMap {
  const result: Record<string, unknown> = { ...asMap(base) };
  for (const [name, object] of Object.entries(asMap(over))) {
    result[name] =
      section === 'services' && name in result
        ? mergeMaps(asMap(result[name]), asMap(object))
        : object;
  }
  return result;
}

function mergeMaps(base: YamlMap, over: YamlMap): YamlMap {
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) result[key] = mergeValue(key, base[key], value);
  return result;
}

function mergeValue(key: string, base: unknown, over: unknown): unknown {
  if (base === undefined || base === null || REPLACED.has(key)) return over;
  if (PAIRS.has(key)) return Object.fromEntries([...asPairs(base), ...asPairs(over)]);
  if (isMap(base) && isMap(over)) return mergeMaps(base, over);
  if (Array.isArray(base) || Array.isArray(over))
    return mergeLists(key, asList(base), asList(over));
  return over;
}

/** Entries that name the same thing (target of a mount, source of a secret) are replaced. */
function mergeLists(
  key: string,
  base: readonly unknown[],
  over: readonly unknown[],
): readonly unknown[] {
  const identity = (entry: unknown): string =>
    isMap(entry) ? asText(entry['target'] ?? entry['source']) : shortIdentity(key, asText(entry));
  const later = new Set(over.map(identity));
  return [...base.filter((entry) => !later.has(identity(entry))), ...over];
}

function shortIdentity(key: string, text: string): string {
  if (key !== 'volumes') return text;
  const parts = text.split(':');
  return parts[1] ?? text;
}
