/** The table of SwarmKit's scenarios names tests of ours: each of them has to exist, with that title. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const TABLE = 'test/conformance/swarmkit-scenarios.md';
const CASES_MIN = 180;

interface Row {
  readonly name: string;
  readonly ours: string;
}

const rows: readonly Row[] = readFileSync(TABLE, 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) => line.slice(1, -1).split('|'))
  .map(([name = '', ours = '']) => ({ name: name.trim(), ours: ours.trim() }))
  .filter(({ name }) => name !== 'case' && !/^-+$/.test(name));

test('every case has a test of ours that exists, or a reason', () => {
  expect(rows.length).toBeGreaterThanOrEqual(CASES_MIN);
  expect(rows.flatMap((row) => problemOf(row) ?? [])).toEqual([]);
});

function problemOf({ name, ours }: Row): string | undefined {
  if (name === '') return 'a row has no case';
  if (/^— .{15,}/.test(ours)) return undefined;
  const [, path = '', title = ''] = /^`([^`]+)`: (.+)$/.exec(ours) ?? [];
  if (!existsSync(path)) return `${name}: no file ${path || ours}`;
  return titles(path).has(title) ? undefined : `${name}: ${path} has no test "${title}"`;
}

/** First text of every call that ends up as a test, templates of tables among them. */
function titles(path: string): ReadonlySet<string> {
  const source = readFileSync(path, 'utf8');
  const calls = /(?:\b(?:test|it)\(|\)\()\s*'((?:[^'\\]|\\.)*)',/g;
  return new Set([...source.matchAll(calls)].map(([, title = '']) => title.replaceAll("\\'", "'")));
}
