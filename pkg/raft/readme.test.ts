import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runInNewContext } from 'node:vm';
import { buildSync } from 'esbuild';
import { expect, test } from 'vitest';

const folder = fileURLToPath(new URL('.', import.meta.url));

test('the example in the README runs and prints what it says', () => {
  const readme = readFileSync(`${folder}README.md`, 'utf8');
  const example = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
  expect(example.split('\n').length).toBeLessThan(60);
  const [bundle] = buildSync({
    stdin: { contents: example, resolveDir: folder, loader: 'ts' },
    bundle: true,
    write: false,
    conditions: ['source'],
  }).outputFiles;
  const printed: unknown[] = [];
  const console = { log: (value: unknown): number => printed.push(value) };
  runInNewContext(bundle?.text ?? '', { console, TextEncoder, TextDecoder });
  expect(printed).toEqual(['blue']);
});
