import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { removeNamespace } from './namespace.ts';

const folder = mkdtempSync(join(tmpdir(), 'readme-'));

afterEach(() => {
  for (const number of [1, 2]) removeNamespace(`/run/netns/example-${number}`);
  rmSync(folder, { recursive: true });
});

test("the README's example runs as printed", () => {
  const readme = readFileSync(join(import.meta.dirname, 'README.md'), 'utf8');
  const [, code = ''] = /```ts\n(.*?)```/s.exec(readme) ?? [];
  const file = join(folder, 'two-hosts.mts');
  writeFileSync(file, code);
  symlinkSync(join(process.cwd(), 'node_modules'), join(folder, 'node_modules'));
  const words = ['--conditions=source', '--import', 'tsx', file];
  const output = execFileSync(process.execPath, words, { encoding: 'utf8' });
  expect(output).toContain('1 packets transmitted, 1 packets received');
});
