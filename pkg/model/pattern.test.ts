import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parsePattern } from './pattern.ts';

function matches(pattern: string, text: string): boolean {
  const parsed = parsePattern(pattern);
  if ('error' in parsed) throw new Error(parsed.error);
  return parsed.matches(text);
}

test('it agrees with the engine of the language', () => {
  const atom = fc.constantFrom(
    'a',
    'b',
    '.',
    '[ab]',
    '[^a]',
    '\\d',
    '-',
    '\\.',
    '(a|b)',
    '(?:ab)',
    'a|b',
  );
  const part = fc.tuple(atom, fc.constantFrom('', '', '*', '+', '?', '{2}', '{1,3}', '{2,}'));
  const pattern = fc
    .tuple(
      fc.constantFrom('', '^'),
      fc.array(part, { minLength: 1, maxLength: 5 }),
      fc.constantFrom('', '$'),
    )
    .map(
      ([start, parts, end]) => `${start}${parts.map(([one, times]) => one + times).join('')}${end}`,
    );
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '1', '-', '.', 'A'), maxLength: 8 });
  fc.assert(
    fc.property(pattern, text, (source, subject) => {
      expect(matches(source, subject)).toBe(new RegExp(source, 'i').test(subject));
    }),
  );
});

test.each([
  ['(', 'a ( is not closed'],
  ['a)', 'a ) has no ('],
  ['*a', '* is not expected'],
  ['[a', '[ is not expected'],
  ['(?=a)b', '(? is not known'],
  ['(a)\\1', '\\1 is not known'],
  ['a{3,2}', 'is not between'],
  ['((a+)+)+', 'too many repetitions of repetitions'],
  ['x'.repeat(201), 'longer than 200'],
])('%s is refused', (source, error) => {
  expect(parsePattern(source)).toEqual({ error: expect.stringContaining(error) });
});

test('patterns that bring other engines to a standstill are matched at once', () => {
  const text = 'a'.repeat(5000);
  for (const source of ['(a+)+b', '(a|a)*b', 'a*a*a*a*a*a*a*b', '(.*)*x']) {
    expect(matches(source, text)).toBe(false);
  }
});
