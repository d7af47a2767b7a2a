import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import {
  type Clock,
  type Disk,
  type DiskFile,
  silentLogger,
  systemDisk,
  type Timer,
} from '../io/index.ts';
import { SegmentSupply } from './segment-supply.ts';

const BYTES = 64 * 1024;
const folder = mkdtempSync(join(tmpdir(), 'muster-supply-'));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A disk without room until `room`; what is allocated after that waits for `go` first. */
class TightDisk {
  room = false;
  allocations = 0;
  go: Promise<void> = Promise.resolve();

  get disk(): Disk {
    return { ...systemDisk, open: (path, mode): Promise<DiskFile> => this.#open(path, mode) };
  }

  async #open(path: string, mode: Parameters<Disk['open']>[1]): Promise<DiskFile> {
    const file = await systemDisk.open(path, mode);
    const allocate = async (bytes: number): Promise<void> => {
      if (!this.room) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
      this.allocations += 1;
      await this.go;
      await file.allocate(bytes);
    };
    return {
      pread: (offset, length): Promise<Uint8Array> => file.pread(offset, length),
      pwrite: (offset, bytes): Promise<void> => file.pwrite(offset, bytes),
      fdatasync: (): Promise<void> => file.fdatasync(),
      truncate: (bytes): Promise<void> => file.truncate(bytes),
      allocate,
      size: (): Promise<number> => file.size(),
      close: (): Promise<void> => file.close(),
    };
  }
}

it('a segment that was taken stays, whatever is prepared before it has its name', async () => {
  const tight = new TightDisk();
  const timers: (() => void)[] = [];
  const clock: Pick<Clock, 'after'> = {
    after: (_, action): Timer => {
      timers.push(action);
      return { cancel: (): void => undefined, [Symbol.dispose]: (): void => undefined };
    },
  };
  const supply = new SegmentSupply({
    disk: tight.disk,
    folder,
    segmentBytes: BYTES,
    clock: clock as Clock,
    logger: silentLogger,
  });
  await supply.open();
  supply.prepare();
  await expect.poll(() => timers.length).toBe(1);
  // There is room again: somebody takes a segment while the next one is prepared, as was due.
  tight.room = true;
  let go = (): void => undefined;
  tight.go = new Promise((resolve) => {
    go = resolve;
  });
  const taking = supply.take(BYTES, true);
  await expect.poll(() => tight.allocations).toBe(1);
  timers[0]?.();
  await expect.poll(() => tight.allocations).toBe(2);
  go();
  const taken = await taking;
  const next = await supply.take(BYTES, true);
  expect(taken.path).not.toBe(next.path);
  expect([taken, next].map(({ path }) => existsSync(path))).toEqual([true, true]);
  await taken.file.close();
  await next.file.close();
  await supply.close();
});
