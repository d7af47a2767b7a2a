import { expect, test } from 'vitest';
import { canonicalAddress, joinHostPort, splitHostPort } from './host-address.ts';

test('host and port come apart and together again', () => {
  for (const [text, host, port] of [
    ['10.0.0.1:2377', '10.0.0.1', 2377],
    ['[fd00::1]:2377', 'fd00::1', 2377],
    ['[::]:0', '::', 0],
    ['one.example:65535', 'one.example', 65535],
  ] as const) {
    expect(splitHostPort(text)).toEqual({ host, port });
    expect(joinHostPort({ host, port })).toBe(text);
  }
});

test('a port that is missing is the usual one, where there is one', () => {
  for (const text of ['10.0.0.1', 'fd00::1', '[fd00::1]', 'one']) {
    const host = text.replace(/[[\]]/g, '');
    expect(splitHostPort(text, 2377)).toEqual({ host, port: 2377 });
    expect(() => splitHostPort(text)).toThrow('is not an address: expected host:port');
  }
  expect(splitHostPort('[fd00::1]:4000', 2377)).toEqual({ host: 'fd00::1', port: 4000 });
});

test('what is neither is refused', () => {
  const wrong = [
    '',
    ':2377',
    '[]:1',
    '[one]:1',
    '[10.0.0.1]:1',
    'fd00::x',
    'a:b:c',
    '10.0.0.1:65536',
    '[fd00::1',
  ];
  for (const text of wrong) expect(() => splitHostPort(text, 2377)).toThrow(/expected host:port/);
});

test('an address has one spelling', () => {
  expect(canonicalAddress('FD00:0:0::0001')).toBe('fd00::1');
  expect(canonicalAddress('010.0.0.1')).toBe('10.0.0.1');
  for (const text of ['eth0', 'fd00::/64', '', 'fe80::1%eth0'])
    expect(canonicalAddress(text)).toBeUndefined();
});
