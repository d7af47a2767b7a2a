import { Failure } from './failure.ts';

const NANOS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Go's duration text (`1m30s`, `500ms`) in nanoseconds. */
export function parseDuration(text: string, flag: string): number {
  if (text === '0') return 0;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join('') !== text) {
    throw new Failure(
      `invalid argument "${text}" for --${flag}: a duration such as 500ms, 10s or 1m30s is wanted`,
    );
  }
  return parts.reduce((sum, [, value, unit]) => sum + Number(value) * (NANOS[unit ?? ''] ?? 0), 0);
}

const BYTES: Readonly<Record<string, number>> = {
  '': 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
};

/** `512m`, `1.5g`, `64MiB` in bytes. */
export function parseBytes(text: string, flag: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text);
  const factor = BYTES[(match?.[2] ?? '').toLowerCase()];
  if (!match || factor === undefined) {
    throw new Failure(
      `invalid argument "${text}" for --${flag}: a size such as 512m or 2g is wanted`,
    );
  }
  return Math.floor(Number(match[1]) * factor);
}

/** `0.5` CPUs in 1e-9 CPUs. */
export function parseCpus(text: string, flag: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) {
    throw new Failure(
      `invalid argument "${text}" for --${flag}: a number of CPUs such as 0.5 is wanted`,
    );
  }
  return Math.round(value * 1e9);
}

export function parseCount(text: string, flag: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || text.trim() === '') {
    throw new Failure(`invalid argument "${text}" for --${flag}: a whole number from 0 is wanted`);
  }
  return value;
}

/** `key=value`, value empty when there is no `=`. */
export function parsePair(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/** `a=b,c=d,flag` as fields; a value may be quoted to hold a comma. */
export function parseFields(text: string): ReadonlyMap<string, string> {
  const parts = text.match(/(?:"[^"]*"|[^,])+/g) ?? [];
  return new Map(parts.map((part) => parsePair(part.replaceAll('"', ''))));
}

/** Bytes for people: `2.25MB` as Docker prints sizes (powers of 1000). */
export function sizeText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${Number(value.toPrecision(3))}${units[unit]}`;
}
