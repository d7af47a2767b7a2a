import { expect, test } from 'vitest';
import {
  parseBytes,
  parseCount,
  parseCpus,
  parseDuration,
  parseFields,
  sizeText,
} from './units.ts';

test('durations are Go durations in nanoseconds', () => {
  expect(parseDuration('1m30s', 'delay')).toBe(90e9);
  expect(parseDuration('1.5s', 'delay')).toBe(1.5e9);
  expect(parseDuration('0', 'delay')).toBe(0);
  expect(() => parseDuration('5 seconds', 'update-delay')).toThrow('for --update-delay');
});

test('sizes are powers of 1024, CPUs are 1e-9', () => {
  expect(parseBytes('1.5g', 'limit-memory')).toBe(1.5 * 1024 ** 3);
  expect(parseBytes('64MiB', 'limit-memory')).toBe(64 * 1024 ** 2);
  expect(() => parseBytes('much', 'limit-memory')).toThrow('for --limit-memory');
  expect(parseCpus('0.25', 'limit-cpu')).toBe(250_000_000);
  expect(() => parseCount('-1', 'replicas')).toThrow('for --replicas');
});

test('fields may be quoted', () => {
  expect([...parseFields('type=bind,"source=/a,b",readonly')]).toEqual([
    ['type', 'bind'],
    ['source', '/a,b'],
    ['readonly', ''],
  ]);
  expect(sizeText(2_250_000)).toBe('2.25MB');
});
