import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** Calls a function so often, and tells whether V8 optimised it. */
const SCRIPT = `
const [file, calls] = process.argv.slice(1);
if (file !== '') (await import(file)).waitAndAnswer();
const sum = (upTo) => { let all = 0; for (let i = 0; i < upTo; i++) all += i; return all; };
for (let call = 0; call < Number(calls); call++) {
  sum(100);
  // Optimised code comes from another thread, and is taken up by a later call.
  if (call % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
}
const status = new Function('it', 'return %GetOptimizationStatus(it)')(sum);
console.log((status & 16) !== 0);
`;

function isOptimised(calls: number, flags: boolean): boolean {
  const file = flags ? join(import.meta.dirname, 'engine-flags.ts') : '';
  const words = ['--import', 'tsx', '--allow-natives-syntax', '--input-type=module', '-e', SCRIPT];
  const output = execFileSync(process.execPath, [...words, file, String(calls)]);
  return output.toString().trim() === 'true';
}

test('a function that ran some hundred times is left alone, a hot one is optimised', () => {
  expect(isOptimised(501, false)).toBe(true);
  expect(isOptimised(501, true)).toBe(false);
  expect(isOptimised(20_001, true)).toBe(true);
});
