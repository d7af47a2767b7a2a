import { expect, test } from 'vitest';
import { checkVersion, splitVersion } from './versions.ts';

test.each([
  ['/v1.41/services?x=1', '/services?x=1', '1.41'],
  ['/v1.41', '/', '1.41'],
  ['/services', '/services', undefined],
  ['/version', '/version', undefined],
  ['/volumes/v1.2', '/volumes/v1.2', undefined],
])('%s is %s of version %s', (path, url, version) => {
  expect(splitVersion(path)).toEqual({ url, version });
});

test.each(['1.24', '1.41', '1.50', undefined])('%s is served', (version) => {
  expect(() => checkVersion(version)).not.toThrow();
});

test.each([
  ['1.51', 'too new'],
  ['2.0', 'too new'],
  ['1.23', 'too old'],
  ['0.9', 'too old'],
])('%s is %s', (version, how) => {
  expect(() => checkVersion(version)).toThrow(how);
});
