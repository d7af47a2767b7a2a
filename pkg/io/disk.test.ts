import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { systemDisk } from './disk.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-disk-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Names of what this process has open below `folder`. */
function openFiles(): readonly string[] {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return links.filter((path) => path.startsWith(folder));
}

it('writes durably into a file that was renamed since it was opened, and lets go of it', async () => {
  const file = await systemDisk.open(join(folder, 'a.tmp'), 'create');
  await file.allocate(4096);
  await systemDisk.rename(join(folder, 'a.tmp'), join(folder, 'a'));
  await file.writeDurably?.(512, Buffer.from('first'));
  await file.writeDurably?.(517, Buffer.from(' second'));
  expect(Buffer.from(await file.pread(511, 14)).toString()).toBe('\0first second\0');
  expect(await file.size()).toBe(4096);
  expect(openFiles()).toHaveLength(2);
  await file.close();
  expect(openFiles()).toEqual([]);
});

it('says that nothing can be written into a file opened for reading', async () => {
  const made = await systemDisk.open(join(folder, 'a'), 'create');
  await made.close();
  const file = await systemDisk.open(join(folder, 'a'), 'read');
  await expect(file.pwrite(0, Buffer.from('x'))).rejects.toThrow('EBADF');
  await file.close();
});
