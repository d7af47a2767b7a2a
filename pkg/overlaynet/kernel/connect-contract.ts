import { afterEach, beforeEach, expect, test } from 'vitest';
import { MAP_SHAPES } from '../connect/maps.ts';
import type { ConnectHooks } from './connect-hooks.ts';
import type { Kernel } from './kernel.ts';

/** What connect hooks of every kernel must do, those of the real one and of the fake alike. */
export function describeConnectHooks(kernel: Kernel, cgroup: string): void {
  let hooks: ConnectHooks;

  beforeEach(() => {
    hooks = kernel.connectHooks(cgroup);
  });

  afterEach(() => {
    hooks.detach();
    hooks[Symbol.dispose]();
  });

  const key = (number: number): Buffer => {
    const bytes = Buffer.alloc(MAP_SHAPES.members.keyBytes);
    bytes.writeUInt32LE(number);
    return bytes;
  };
  const value = (number: number): Buffer => Buffer.from([number, 0, 0, 0]);
  const hex = (bytes: Buffer): string => bytes.toString('hex');

  test('connect hooks: a map holds what was put there last, and is not the map of others', () => {
    for (const number of [1, 2, 3]) hooks.put('members', key(number), value(number));
    hooks.put('members', key(2), value(7));
    hooks.delete('members', key(3));
    hooks.delete('members', key(3));
    expect([...hooks.entries('members')].toSorted()).toEqual([
      [hex(key(1)), hex(value(1))],
      [hex(key(2)), hex(value(7))],
    ]);
    expect(hooks.entries('vips').size).toBe(0);
    using others = kernel.connectHooks(cgroup);
    expect(others.entries('members').size).toBe(0);
  });

  test('connect hooks: a map that is full takes nothing new, and others for what it has', () => {
    const { capacity } = MAP_SHAPES.members;
    for (let number = 0; number < capacity; number++) {
      expect(hooks.put('members', key(number), value(1))).toBe(true);
    }
    expect(hooks.put('members', key(capacity), value(1))).toBe(false);
    expect(hooks.put('members', key(0), value(2))).toBe(true);
    expect(hooks.entries('members').size).toBe(capacity);
    hooks.delete('members', key(1));
    expect(hooks.put('members', key(capacity), value(1))).toBe(true);
  });

  test('connect hooks: programs are attached once, and again after they were detached', () => {
    expect([hooks.attach(), hooks.attach(), hooks.missing()]).toEqual([4, 0, 0]);
    hooks.detach();
    hooks.detach();
    expect(hooks.missing()).toBe(4);
    expect([hooks.attach(), hooks.attach()]).toEqual([4, 0]);
  });
}
