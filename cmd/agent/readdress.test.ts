import { expect, test } from 'vitest';
import type { LinkAddress } from './address.ts';
import type { NodeRecord } from './node-record.ts';
import { readdressed } from './readdress.ts';

const ADDRESSES = (...addresses: readonly string[]): readonly LinkAddress[] =>
  addresses.map((text) => {
    const [link = '', address = ''] = text.split(' ');
    return { link, address };
  });

function record(asked: string, configured = ''): NodeRecord {
  return {
    advertiseAddress: '10.0.0.1',
    chosen: { asked, configured },
    dataPathAddress: '10.0.0.1',
    listenPort: 2377,
    managers: ['10.0.0.1:2377', '10.0.0.2:2377'],
  };
}

test('an address that was found on a link follows the link', () => {
  const now = ADDRESSES('eth0 10.0.0.9', 'eth1 10.1.0.1');
  for (const before of [record('eth0'), record('', 'eth0')]) {
    expect(readdressed(before, before.chosen?.configured ?? '', now)).toEqual({
      ...before,
      advertiseAddress: '10.0.0.9',
      dataPathAddress: '10.0.0.9',
      managers: ['10.0.0.9:2377', '10.0.0.2:2377'],
    });
  }
  const only = ADDRESSES('eth1 10.1.0.1');
  expect(readdressed(record(''), '', only).advertiseAddress).toBe('10.1.0.1');
});

test('an IPv6 address follows the link within its family', () => {
  const before: NodeRecord = {
    ...record('eth0'),
    advertiseAddress: 'fd00::1',
    dataPathAddress: 'fd00::1',
    managers: ['[fd00::1]:2377', '[fd00::2]:2377'],
  };
  const now = ADDRESSES('eth0 10.0.0.9', 'eth0 fd00::9', 'eth1 fd00::10');
  const { advertiseAddress, dataPathAddress, managers } = readdressed(before, '', now);
  expect([advertiseAddress, dataPathAddress]).toEqual(['fd00::9', 'fd00::9']);
  expect(managers).toEqual(['[fd00::9]:2377', '[fd00::2]:2377']);
  expect(() => readdressed(before, '', ADDRESSES('eth0 10.0.0.9'))).toThrow('no other is there');
});

test('one that is still there, or was named, stays', () => {
  const both = ADDRESSES('eth0 10.0.0.9', 'eth0 10.0.0.1');
  for (const before of [record(''), record('eth0')])
    expect(readdressed(before, '', both)).toBe(before);
  // Behind NAT no link has it.
  const named = record('10.0.0.1', '10.0.0.1');
  expect(readdressed(named, '10.0.0.1', ADDRESSES('eth0 192.168.0.1'))).toBe(named);
});

test('a new configuration is an order, once', () => {
  const moved = readdressed(record('10.0.0.1', '10.0.0.1'), '10.0.0.7', ADDRESSES('eth0 10.0.0.9'));
  expect(moved.advertiseAddress).toBe('10.0.0.7');
  expect(readdressed(moved, '10.0.0.7', ADDRESSES('eth0 10.0.0.9'))).toBe(moved);
  expect(readdressed(moved, '', ADDRESSES('eth0 10.0.0.9'))).toBe(moved);
  // Without a word on how it was chosen, it was named.
  const { chosen: _, ...old } = record('');
  expect(readdressed(old, '', ADDRESSES('eth0 10.0.0.9'))).toBe(old);
});

test('packets of overlay networks keep an address of their own', () => {
  const before = { ...record(''), dataPathAddress: '10.5.0.1' };
  const moved = readdressed(before, '', ADDRESSES('eth0 10.0.0.9'));
  expect(moved.dataPathAddress).toBe('10.5.0.1');
});

test('when it cannot be decided it says what to do', () => {
  const many = ADDRESSES('eth0 10.0.0.9', 'eth1 10.1.0.1');
  expect(() => readdressed(record(''), '', many)).toThrow(
    'this host has lost its address 10.0.0.1, and several are there instead, 10.0.0.9 among them - start the agent with --advertise-address',
  );
  expect(() => readdressed(record('eth0'), '', ADDRESSES())).toThrow('no other is there');
});
