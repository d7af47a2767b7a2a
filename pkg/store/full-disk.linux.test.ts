import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Manager, names, TestCluster, until, write } from './testing/cluster.ts';

const tuning = { segmentBytes: 256 * 1024, snapshotEntries: 100_000 };
const TEXT = 'x'.repeat(20_000);
const LIMIT_MS = 30_000;

/** A file system of its own for one member, and something else that can fill it. */
class SmallDisk implements Disposable {
  readonly #folder: string;

  constructor(folder: string, size: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder]);
  }

  fill(): void {
    for (let at = 0; ; at++) {
      try {
        writeFileSync(join(this.#folder, `filler${at}`), Buffer.alloc(64 * 1024));
      } catch {
        return;
      }
    }
  }

  free(): void {
    for (const file of readdirSync(this.#folder)) {
      if (file.startsWith('filler')) rmSync(join(this.#folder, file));
    }
  }

  [Symbol.dispose](): void {
    execFileSync('umount', ['--lazy', this.#folder]);
  }
}

async function writeUntilRefused(manager: Manager, prefix: string): Promise<readonly string[]> {
  const written: string[] = [];
  for (let at = 0; at < 500; at++) {
    const name = `${prefix}${at}`;
    try {
      await write(manager.store, name, TEXT);
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_DISK_FULL', kind: 'unavailable' });
      expect(String(error)).toContain(`cannot extend the log in ${manager.directory}/wal`);
      return written;
    }
    written.push(name);
  }
  throw new Error('was never refused');
}

test('alone on a full disk: writes are refused with the reason, reads go on, and so does all when there is room', async () => {
  await using cluster = new TestCluster(tuning);
  using disk = new SmallDisk(cluster.directory(1), '6m');
  const manager = await cluster.start(1, { kind: 'bootstrap' });
  await until(() => manager.store.isLeader());
  await write(manager.store, 'before');
  const wal = join(manager.directory, 'wal');
  await until(() => readdirSync(wal).includes('reserve'));
  expect(statSync(join(wal, 'reserve')).size).toBe(1024 * 1024);
  disk.fill();
  const written = ['before', ...(await writeUntilRefused(manager, 'a'))];
  expect(names(await readable(manager))).toEqual(written);

  // A restart finds everything although there is still no room.
  await cluster.kill(1);
  const again = await cluster.restart(1);
  await until(() => again.store.isLeader());
  expect(names(await readable(again))).toEqual(expect.arrayContaining(written));

  disk.free();
  await until(() => readdirSync(wal).includes('reserve'), LIMIT_MS);
  await retried(() => write(again.store, 'after'));
  await cluster.kill(1);
  const last = await cluster.restart(1);
  await until(() => last.store.isLeader());
  expect(names(last.store)).toEqual(expect.arrayContaining([...written, 'after']));
  expect([...manager.fatal, ...again.fatal, ...last.fatal]).toEqual([]);
});

test('a leader whose disk is full hands over, writes through the new leader, and catches up later', async () => {
  await using cluster = new TestCluster(tuning);
  using disk = new SmallDisk(cluster.directory(1), '6m');
  const first = await cluster.start(1, { kind: 'bootstrap' });
  await until(() => first.store.isLeader());
  await cluster.join(2);
  await cluster.join(3);
  disk.fill();
  for (let at = 0; first.store.isLeader(); at++) await write(first.store, `a${at}`, TEXT);
  const leader = await cluster.leader();
  expect(leader.member.raftId).not.toBe(1);
  await write(first.store, 'through the other');
  for (let at = 0; at < 100; at++) await write(leader.store, `b${at}`, TEXT);
  // By now its log is full to the end: it says so instead of promising what it cannot keep.
  await until(() => {
    return first.store.view.byName('config', 'b99') === undefined;
  });
  await expect(write(first.store, 'stuck')).rejects.toMatchObject({ code: 'ERR_DISK_FULL' });
  disk.free();
  await until(() => first.store.view.byName('config', 'b99') !== undefined, LIMIT_MS);
  await retried(() => write(first.store, 'again'));
  expect(first.fatal).toEqual([]);
});

async function readable(manager: Manager): Promise<Manager['store']> {
  await manager.store.barrier();
  return manager.store;
}

/** What is refused until room was noticed. */
async function retried(work: () => Promise<unknown>): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
