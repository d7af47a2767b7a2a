import { expect, test } from 'vitest';
import { DetachFilter, parseDetachKeys } from './detach-keys.ts';

test.each([
  [undefined, [16, 17]],
  ['', [16, 17]],
  ['ctrl-a', [1]],
  ['ctrl-[,x', [27, 120]],
])('%s is %j', (text, bytes) => {
  expect([...parseDetachKeys(text)]).toEqual(bytes);
});

test.each(['ctrl-', 'ab', 'ctrl-1', ','])('%s names no keys', (text) => {
  expect(() => parseDetachKeys(text)).toThrow('Unknown character');
});

async function typed(...chunks: readonly string[]): Promise<{ passed: string; detached: number }> {
  let detached = 0;
  const filter = new DetachFilter(parseDetachKeys('ctrl-p,ctrl-q'), () => {
    detached += 1;
  });
  for (const chunk of chunks) filter.write(chunk);
  filter.end();
  let passed = '';
  for await (const chunk of filter) passed += String(chunk);
  return { passed, detached };
}

test('the keys are swallowed, also when typed one by one', async () => {
  expect(await typed('ab\x10\x11')).toEqual({ passed: 'ab', detached: 1 });
  expect(await typed('\x10', '\x11')).toEqual({ passed: '', detached: 1 });
});

test('what only begins like the keys is passed on', async () => {
  expect(await typed('\x10a', '\x10', '\x10\x11')).toEqual({ passed: '\x10a\x10', detached: 1 });
  expect(await typed('x\x10')).toEqual({ passed: 'x\x10', detached: 0 });
});
