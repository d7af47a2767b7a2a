import { expect, test } from 'vitest';
import { neighbourSysctls } from './host-sysctls.ts';

test('limits of neighbours are raised where they are lower, in the order in which none exceeds the next', () => {
  const before: Readonly<Record<string, string>> = {
    'net/ipv4/neigh/default/gc_thresh1': '128',
    'net/ipv4/neigh/default/gc_thresh2': '512',
    'net/ipv4/neigh/default/gc_thresh3': '1024',
    'net/ipv6/neigh/default/gc_thresh3': '80000',
  };
  const wanted = neighbourSysctls({ readSysctl: (key) => before[key] });
  expect(Object.entries(wanted)).toEqual([
    ['net/ipv4/neigh/default/gc_thresh3', '16384'],
    ['net/ipv4/neigh/default/gc_thresh2', '8192'],
    ['net/ipv4/neigh/default/gc_thresh1', '4096'],
  ]);
});
