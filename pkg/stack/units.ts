import { stackProblem } from './problem.ts';

const NANOS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Go duration text in nanoseconds. */
export function durationNanos(value: unknown, key: string): number {
  const text = String(value);
  if (text === '0') return 0;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join('') !== text) {
    throw stackProblem(`${key}: ${text} is no duration; write 10s or 1m30s`);
  }
  return Math.round(
    parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (NANOS[unit ?? ''] ?? 0), 0),
  );
}

const BYTES: Readonly<Record<string, number>> = {
  '': 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
  p: 1024 ** 5,
};

/** `1.5G`, `64b`, `100M` in bytes, powers of 1024. */
export function sizeBytes(value: unknown, key: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?$/i.exec(String(value).trim());
  const factor = BYTES[(match?.[2] ?? '').toLowerCase()];
  if (!match || factor === undefined)
    throw stackProblem(`${key}: ${String(value)} is no size; write 512M or 2G`);
  return Math.floor(Number(match[1]) * factor);
}

/** `0.5` CPUs in 1e-9 CPUs. */
export function nanoCpus(value: unknown, key: string): number {
  const cpus = Number(value);
  if (!Number.isFinite(cpus) || cpus < 0)
    throw stackProblem(`${key}: ${String(value)} is no number of CPUs`);
  return Math.round(cpus * 1e9);
}

export function wholeNumber(value: unknown, key: string): number {
  const number = Number(value);
  if (!Number.isInteger(number)) throw stackProblem(`${key}: ${String(value)} is no whole number`);
  return number;
}

export function truth(value: unknown, key: string): boolean {
  if (value === true || value === 'true' || value === 'yes' || value === 'on' || value === 'y')
    return true;
  if (value === false || value === 'false' || value === 'no' || value === 'off' || value === 'n')
    return false;
  throw stackProblem(`${key}: ${String(value)} is neither true nor false`);
}

const WORD_PARTS = /\s+|\\(.)|"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s"'\\]+)|(["'\\])/gs;

/** Words as a shell splits them: quotes group, a backslash keeps the next character. */
export function shellWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (const [whole, escaped, double, single, plain, open] of text.matchAll(WORD_PARTS)) {
    if (open !== undefined) throw stackProblem(`the quote ${open} in ${text} is not closed`);
    const part = escaped ?? double?.replace(/\\(.)/gs, '$1') ?? single ?? plain;
    if (part !== undefined) {
      word = (word ?? '') + part;
    } else if (whole !== '' && word !== undefined) {
      words.push(word);
      word = undefined;
    }
  }
  return word === undefined ? words : [...words, word];
}
