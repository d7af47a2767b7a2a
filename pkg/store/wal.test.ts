import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Entry } from 'raft-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLogger, systemClock, systemDisk } from '../io/index.ts';
import { Wal } from './wal.ts';
import type { WalRecord } from './wal-record.ts';
import { replayLog } from './wal-replay.ts';

const SEGMENT_BYTES = 4096;
/** With room for a seal in a page of its own. */
const ROOMY_BYTES = 12 * 1024;
const COUNT = 14;
const identity = { clusterId: 'c1', raftId: 7 };
let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-wal-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (segmentBytes = SEGMENT_BYTES): ReturnType<typeof Wal.open> =>
  Wal.open({
    disk: systemDisk,
    folder,
    identity,
    segmentBytes,
    clock: systemClock,
    logger: silentLogger,
  });

function entry(index: number, term = 1, bytes = 40): Entry {
  const data = Buffer.alloc(bytes, 1 + (index % 250));
  return { index, term, type: 'EntryNormal', data };
}

function commitOf(...entries: readonly Entry[]): readonly WalRecord[] {
  const last = entries.at(-1);
  const hardState = { term: last?.term ?? 1, vote: 7, commit: (last?.index ?? 1) - 1 };
  return [
    { kind: 'entries', entries },
    { kind: 'hardState', hardState },
  ];
}

const indexes = (records: readonly WalRecord[]): readonly number[] =>
  replayLog(records, 0)?.entries.map((each) => each.index) ?? [];

const segments = (): readonly string[] =>
  readdirSync(folder).filter((file) => file.endsWith('.wal'));

/** Write COUNT commits and return the only segment, as a kill leaves it. */
async function sample(): Promise<{ file: string; whole: Buffer }> {
  const { wal } = await open(ROOMY_BYTES);
  for (let index = 1; index <= COUNT; index++) await wal.commit(commitOf(entry(index)));
  const [file = ''] = segments();
  const whole = readFileSync(join(folder, file));
  await wal.close();
  return { file, whole };
}

const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, at) => at + 1);

test('what was committed is there again, over several segments, with the newest hard state', async () => {
  const { wal } = await open();
  for (let index = 1; index <= 200; index++) await wal.commit(commitOf(entry(index)));
  await wal.close();
  expect(segments().length).toBeGreaterThan(3);
  const again = await open();
  await again.wal.close();
  const replayed = replayLog(again.records, 0);
  expect(replayed?.entries).toEqual(upTo(200).map((index) => entry(index)));
  expect(replayed?.hardState).toEqual({ term: 1, vote: 7, commit: 199 });
});

test('an entry that is written again replaces everything from there on', async () => {
  const { wal } = await open();
  await wal.commit(commitOf(entry(1), entry(2), entry(3), entry(4)));
  await wal.commit([{ kind: 'entries', entries: [entry(2, 2)] }]);
  await wal.close();
  const { wal: again, records } = await open();
  await again.close();
  expect(replayLog(records, 0)).toBeUndefined();
  const kept = records.filter((record) => record.kind === 'entries');
  expect(replayLog(kept, 0)?.entries.map((each) => [each.index, each.term])).toEqual([
    [1, 1],
    [2, 2],
  ]);
  expect(replayLog(kept, 2)?.entries).toEqual([]);
});

test('a log with a gap after the snapshot is not usable', () => {
  const records: WalRecord[] = [{ kind: 'entries', entries: [entry(5)] }];
  expect(replayLog(records, 4)?.entries).toHaveLength(1);
  expect(replayLog(records, 3)).toBeUndefined();
});

test('a received snapshot voids the log before it', () => {
  const records: WalRecord[] = [
    { kind: 'entries', entries: [entry(1), entry(2), entry(3)] },
    { kind: 'snapshot', ref: { index: 2, term: 9, installed: true } },
    { kind: 'hardState', hardState: { term: 9, vote: 0, commit: 2 } },
  ];
  expect(replayLog(records, 2)?.entries).toEqual([]);
  expect(replayLog(records, 0)).toBeUndefined();
});

test('segments without needed entries are forgotten, the rest still opens', async () => {
  const { wal } = await open();
  for (let index = 1; index <= 200; index++) await wal.commit(commitOf(entry(index)));
  const before = segments().length;
  await wal.release(150);
  expect(segments().length).toBeLessThan(before);
  await wal.close();
  const { wal: again, records } = await open();
  await again.close();
  expect(replayLog(records, 150)?.entries.map((each) => each.index)).toEqual(
    upTo(50).map((at) => at + 150),
  );
});

test('the log of another member or cluster is refused', async () => {
  await sample();
  const other = Wal.open({
    disk: systemDisk,
    folder,
    identity: { clusterId: 'c1', raftId: 8 },
    segmentBytes: SEGMENT_BYTES,
    clock: systemClock,
    logger: silentLogger,
  });
  await expect(other).rejects.toThrow('belongs to member 7');
});

test('what an unfinished write left is erased, kept beside, and never read later', async () => {
  const { file, whole } = await sample();
  const found = upTo(COUNT - 1);
  const used = whole.findLastIndex((byte) => byte !== 0);
  writeFileSync(join(folder, file), whole.fill(0, used - 20));
  const { wal, records } = await open(ROOMY_BYTES);
  expect(readdirSync(folder)).toContain(`${file}.broken`);
  expect(indexes(records)).toEqual(found);
  const next = found.length + 1;
  await wal.commit(commitOf(entry(next, 2)));
  await wal.close();
  const again = await open(ROOMY_BYTES);
  await again.wal.close();
  expect(indexes(again.records)).toEqual(upTo(next));
});
