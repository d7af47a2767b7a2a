import { expect, test } from 'vitest';
import { silentLogger, systemClock, type Timer } from '../io/index.ts';
import type { NetworkId, NetworkTable } from '../model/index.ts';
import type { AssignmentChanges } from '../rpc/index.ts';
import { type RecordFile, TaskDb, type TaskRecords } from './task-db.ts';

const records = (...managers: string[]): TaskRecords => ({
  tasks: [],
  managers,
  formerManagers: [],
});
const tables = (...ids: string[]): ReadonlyMap<NetworkId, NetworkTable> =>
  new Map(ids.map((id) => [id as NetworkId, { networkId: id } as unknown as NetworkTable]));
const CHANGES = {} as AssignmentChanges;

/** Takes nothing while it is full. */
class Disk implements RecordFile {
  isFull = false;
  written: unknown;
  readonly kept: string[] = [];
  readonly tables = {
    read: (): [] => [],
    keep: (all: ReadonlyMap<string, unknown>, changes?: unknown): void => {
      this.#take();
      this.kept.push(`${[...all.keys()].join()}${changes === undefined ? ' whole' : ''}`);
    },
  };

  read(): unknown {
    return this.written;
  }

  write(text: unknown): void {
    this.#take();
    this.written = text;
  }

  #take(): void {
    if (this.isFull) throw new Error('ENOSPC: no space left on device, write');
  }
}

function open(): { readonly db: TaskDb; readonly disk: Disk; readonly pauses: number[] } {
  const disk = new Disk();
  const pauses: number[] = [];
  const after = (ms: number, action: () => void): Timer => {
    pauses.push(ms);
    return systemClock.after(1, action);
  };
  const db = new TaskDb(disk, { clock: { ...systemClock, after }, log: silentLogger });
  return { db, disk, pauses };
}

test('what a full disk did not take is written when it does, in pauses', async () => {
  const { db, disk, pauses } = open();
  disk.isFull = true;
  let now = records('old');
  db.saveSoon(() => now);
  await expect.poll(() => pauses.length).toBeGreaterThan(3);
  expect(disk.written).toBeUndefined();
  expect(pauses[0]).toBeLessThan(pauses[1] as number);
  now = records('new');
  disk.isFull = false;
  await expect.poll(() => disk.written).toEqual(records('new'));
  expect(db.save(records('last'))).toBe(true);
});

test('what is to be saved soon is saved at once when that is asked for, and nothing otherwise', () => {
  const { db, disk, pauses } = open();
  db.saveIfDue();
  expect(disk.written).toBeUndefined();
  db.saveSoon(() => records('new'));
  db.saveIfDue();
  expect(disk.written).toEqual(records('new'));
  disk.written = undefined;
  db.saveIfDue();
  expect([disk.written, pauses.length]).toEqual([undefined, 1]);
});

test('tables that were not kept are kept as a whole, with the next change or without one', () => {
  const { db, disk } = open();
  db.keepTables(tables('a'), CHANGES);
  disk.isFull = true;
  db.keepTables(tables('a', 'b'), CHANGES);
  expect(db.save(records())).toBe(false);
  disk.isFull = false;
  db.keepTables(tables('a', 'b', 'c'), CHANGES);
  db.keepTables(tables('a', 'c'), CHANGES);
  disk.isFull = true;
  db.keepTables(tables('c'), CHANGES);
  disk.isFull = false;
  db.save(records());
  expect(disk.kept).toEqual(['a', 'a,b,c whole', 'a,c', 'c whole']);
});
