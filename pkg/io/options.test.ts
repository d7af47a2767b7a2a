import { expect, test } from 'vitest';
import { parseOptions, renderOptions } from './options.ts';

const ROWS = [
  { name: 'data-dir', fallback: '/var/lib/x', text: 'folder' },
  { name: 'hostname', fallback: '', text: 'name' },
] as const;

test('a flag wins over the environment, the environment over the fallback', () => {
  const environment = { MUSTER_DATA_DIR: '/env', MUSTER_HOSTNAME: 'env' };
  const values = parseOptions(ROWS, ['--data-dir=/flag'], environment);
  expect(values).toEqual({ 'data-dir': '/flag', hostname: 'env' });
  expect(parseOptions(ROWS, [], {})['data-dir']).toBe('/var/lib/x');
});

test('an unknown flag and a missing value are refused by name', () => {
  expect(() => parseOptions(ROWS, ['--nope', 'x'], {})).toThrow('unknown option --nope');
  expect(() => parseOptions(ROWS, ['--hostname'], {})).toThrow('option --hostname needs a value');
});

test('a repeatable flag gathers its values, in place of those of the environment', () => {
  const rows = [{ name: 'device', fallback: '', text: 'device', repeatable: true }] as const;
  const environment = { MUSTER_DEVICE: 'c=/c' };
  expect(parseOptions(rows, ['--device', 'a=/a', '--device=b=/b'], environment).device).toBe(
    'a=/a b=/b',
  );
  expect(parseOptions(rows, [], environment).device).toBe('c=/c');
});

test('help names the flag, its default and its variable', () => {
  expect(renderOptions(ROWS)).toContain('--data-dir  folder (default /var/lib/x); MUSTER_DATA_DIR');
});
