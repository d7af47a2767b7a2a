import { expect, test } from 'vitest';
import { advertiseAddress, listenOn, remoteAddresses } from './address.ts';

test('an address is taken as it is named, in its one spelling and without a port', () => {
  for (const [asked, address] of [
    ['10.0.0.1', '10.0.0.1'],
    ['10.0.0.1:2377', '10.0.0.1'],
    ['FD00:0::1', 'fd00::1'],
    ['[fd00::1]', 'fd00::1'],
    ['[fd00::1]:2377', 'fd00::1'],
  ] as const) {
    expect(advertiseAddress(asked, '')).toBe(address);
    expect(advertiseAddress('', asked)).toBe(address);
  }
});

test('what others cannot use is refused', () => {
  for (const asked of ['0.0.0.0', '::', '[::]:2377', 'fe80::1', 'nolink0']) {
    expect(() => advertiseAddress(asked, '')).toThrow(
      `must be a non-zero IP address or network interface (with optional port number), not ${asked}`,
    );
  }
  expect(() => advertiseAddress('fd00::g', '')).toThrow('expected host:port');
});

test('a manager listens on IPv6 when it is asked to', () => {
  expect(listenOn(undefined, 2377)).toEqual({ listenPort: 2377 });
  expect(listenOn('0.0.0.0:4000', 2377)).toEqual({ listenPort: 4000 });
  expect(listenOn('eth0', 2377)).toEqual({ listenPort: 2377 });
  expect(listenOn('[::]:4000', 2377)).toEqual({ listenPort: 4000, listensOnIpv6: true });
  expect(() => listenOn('0.0.0.0:0', 2377)).toThrow('invalid port in address 0.0.0.0:0');
});

test('managers to join through have a port, and IPv6 addresses brackets', () => {
  expect(remoteAddresses(['10.0.0.1', '', 'fd00::1', '[fd00::1]:4000'])).toEqual([
    '10.0.0.1:2377',
    '[fd00::1]:2377',
    '[fd00::1]:4000',
  ]);
  expect(() => remoteAddresses([])).toThrow('at least 1 RemoteAddr is required to join');
});
