import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import { buildSync, transformSync } from 'esbuild';
import { expect, test } from 'vitest';

const folder = fileURLToPath(new URL('.', import.meta.url));

test('the example in the README runs and prints what it says', () => {
  const example = exampleOf('README.md');
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

test('as it is published, plain Node runs the example and types need nothing of Node', async () => {
  const place = mkdtempSync(join(tmpdir(), 'raft-js-'));
  try {
    const installed = join(place, 'node_modules/raft-js');
    mkdirSync(installed, { recursive: true });
    cpSync(join(folder, 'package.json'), join(installed, 'package.json'));
    const tsc = join(folder, '../../node_modules/.bin/tsc');
    const run = promisify(execFile);
    await run(tsc, ['-p', folder, '--outDir', join(installed, 'dist')]);
    const { code } = transformSync(exampleOf('README.md'), { loader: 'ts' });
    writeFileSync(join(place, 'example.mjs'), code);
    expect((await run(process.execPath, [join(place, 'example.mjs')])).stdout).toBe('blue\n');
  } finally {
    rmSync(place, { recursive: true });
  }
});

test('every public symbol is described', () => {
  const door = readFileSync(`${folder}index.ts`, 'utf8');
  const described = readFileSync(`${folder}API.md`, 'utf8');
  const symbols = [...door.matchAll(/\{([^}]*)\}/g)].flatMap(([, list = '']) => list.split(','));
  const names = symbols.map((symbol) => symbol.trim()).filter((symbol) => symbol !== '');
  expect(names.length).toBeGreaterThan(30);
  const missing = names.filter((name) => !new RegExp(`\\b${name}\\b`).test(described));
  expect(missing).toEqual([]);
});

function exampleOf(file: string): string {
  return /```ts\n([\s\S]*?)```/.exec(readFileSync(folder + file, 'utf8'))?.[1] ?? '';
}
