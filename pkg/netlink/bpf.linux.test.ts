import { closeSync, mkdirSync, openSync, readFileSync, rmdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { attachedPrograms, BpfMap, BpfProgram, detachProgram } from './bpf.ts';

const MEMBERS = 10_000;
const number = (value: number, length = 4): Buffer => {
  const bytes = Buffer.alloc(length);
  bytes.writeUInt32LE(value);
  return bytes;
};
/** `r0 = 1; exit`: whatever the socket does is fine. */
const HARMLESS = Buffer.from('b700000001000000 9500000000000000'.replace(' ', ''), 'hex');

function newMap(capacity: number): BpfMap {
  return new BpfMap({ kind: 'hash', name: 'test_map', keyBytes: 4, valueBytes: 8, capacity });
}

test('a map gives back all that was put there, however much', () => {
  using map = newMap(MEMBERS);
  for (let key = 0; key < MEMBERS; key++) map.put(number(key), number(key * 2, 8));
  const found = new Map(map.entries().map(([key, value]) => [key.readUInt32LE(), value]));
  expect(found.size).toBe(MEMBERS);
  for (const [key, value] of found) expect(value.readUInt32LE()).toBe(key * 2);
  expect(() => map.put(number(MEMBERS), number(0, 8))).toThrow('E2BIG');
  expect([map.delete(number(7)), map.delete(number(7))]).toEqual([true, false]);
  expect(map.entries()).toHaveLength(MEMBERS - 1);
});

test('an empty map has no members', () => {
  using map = newMap(1);
  expect(map.entries()).toEqual([]);
});

test('a program that the kernel does not like is refused with what it says', () => {
  const exitAtOnce = HARMLESS.subarray(8);
  expect(() => new BpfProgram('connect4', 'test_bad', exitAtOnce)).toThrow('R0 !read_ok');
});

/** Where the machine has mounted the v2 tree. */
const tree = (): string => {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  return mounts.map((line) => line.split(' ')).find(([, , type]) => type === 'cgroup2')?.[1] ?? '';
};

test('a program is attached to a cgroup beside others, and detached by its number', () => {
  const path = `${tree()}/vxlan-netlink-${process.pid}`;
  mkdirSync(path);
  const cgroup = openSync(path, 'r');
  try {
    using one = new BpfProgram('connect6', 'test_one', HARMLESS);
    using other = new BpfProgram('connect6', 'test_other', HARMLESS);
    one.attach(cgroup);
    other.attach(cgroup);
    const attached = attachedPrograms(cgroup, 'connect6');
    expect(attached.map(({ name }) => name)).toEqual(['test_one', 'test_other']);
    expect(attachedPrograms(cgroup, 'connect4')).toEqual([]);
    const id = attached[0]?.id ?? 0;
    expect([detachProgram(cgroup, 'connect6', id), detachProgram(cgroup, 'connect6', id)]).toEqual([
      true,
      false,
    ]);
    expect(attachedPrograms(cgroup, 'connect6').map(({ name }) => name)).toEqual(['test_other']);
    expect(detachProgram(cgroup, 'connect6', 2 ** 31)).toBe(false);
  } finally {
    closeSync(cgroup);
    rmdirSync(path);
  }
});
